-- wrk's script: posts the body in the file named first, its "@@" the number of the request, its "##" a card's.
local body = ""
local number = 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  body = file:read("*a")
  file:close()
  number = tonumber(arguments[2])
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  number = number + 1
  local text = body:gsub("@@", string.format("%012d", number)):gsub("##", string.format("%04d", math.random(0, 4999)))
  return wrk.format(nil, nil, nil, text)
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
      + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), failed))
end
