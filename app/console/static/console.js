// Keys. Each one clicks a button or a link that prints it, so that nothing can be done with keys alone.
const off = "counterfoil-keys-off";
const root = document.documentElement;
const rows = () => [...document.querySelectorAll("[data-row]")];

function typing(target) {
  return target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog[open]");
}

function chosen() {
  return rows().findIndex((row) => row.contains(document.activeElement));
}

function move(step) {
  const all = rows();
  const at = chosen();
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1)];
  const target = next?.querySelector("[data-open]");
  target?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function press(key) {
  if (key === "j" || key === "k") {
    if (!rows().length) return false;
    move(key === "j" ? 1 : -1);
    return true;
  }
  if (key === "x") {
    const row = rows()[chosen()];
    row?.querySelector("input[type=checkbox]")?.click();
    return Boolean(row);
  }
  const wanted = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)];
  const target = wanted.find((one) => !one.disabled && one.checkVisibility());
  if (!target) return false;
  if (target.matches("input, textarea")) target.focus();
  else target.click();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && !"jk".includes(event.key)) return;
  if (event.key === "Escape" && typing(event.target) && !event.target.closest("dialog")) event.target.blur();
  if (localStorage.getItem(off) || typing(event.target)) return;
  if (event.key.length === 1 && press(event.key)) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-step], [data-help]");
  if (button?.dataset.step) move(Number(button.dataset.step));
  if (button?.hasAttribute("data-help")) document.querySelector("dialog").showModal();
});

const choice = document.querySelector("#keys");
if (choice) {
  choice.checked = !localStorage.getItem(off);
  choice.addEventListener("change", () => {
    if (choice.checked) localStorage.removeItem(off);
    else localStorage.setItem(off, "1");
    root.classList.toggle("nokeys", !choice.checked);
  });
}
root.classList.toggle("nokeys", Boolean(localStorage.getItem(off)));

// One click on the box in the head ticks all.
const all = document.querySelector("#all");
all?.addEventListener("change", () => {
  for (const row of rows()) row.querySelector("input[type=checkbox]").checked = all.checked;
});

// A verdict is sent once, however often its key is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
});
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
