"""The cities of the simulated world and the distance between two points."""

from typing import NamedTuple

import numpy as np

from training.simulator.weighted_choice import Floats

EARTH_RADIUS_KM = 6371.0


class City(NamedTuple):
    """Degrees north and east; inhabitants in millions; `residents` weighs how many holders live there."""

    name: str
    country: str
    latitude: float
    longitude: float
    population: float
    residents: float


# Small worlds use the first few only, so near and far places alternate at the top.
CITIES: tuple[City, ...] = (
    City("Paris", "FR", 48.8566, 2.3522, 11.1, 9.0),
    City("Istanbul", "TR", 41.0082, 28.9784, 15.6, 0.0),
    City("Berlin", "DE", 52.5200, 13.4050, 4.5, 6.0),
    City("New York", "US", 40.7128, -74.0060, 19.5, 0.4),
    City("Madrid", "ES", 40.4168, -3.7038, 6.7, 5.0),
    City("London", "GB", 51.5074, -0.1278, 14.3, 0.8),
    City("Milan", "IT", 45.4642, 9.1900, 4.3, 4.0),
    City("Amsterdam", "NL", 52.3676, 4.9041, 2.5, 3.5),
    City("Dubai", "AE", 25.2048, 55.2708, 3.5, 0.0),
    City("Vienna", "AT", 48.2082, 16.3738, 2.2, 2.5),
    City("Hamburg", "DE", 53.5511, 9.9937, 2.7, 3.0),
    City("Munich", "DE", 48.1351, 11.5820, 2.9, 3.5),
    City("Cologne", "DE", 50.9375, 6.9603, 2.1, 2.5),
    City("Frankfurt", "DE", 50.1109, 8.6821, 2.3, 2.5),
    City("Stuttgart", "DE", 48.7758, 9.1829, 2.0, 2.0),
    City("Leipzig", "DE", 51.3397, 12.3731, 1.0, 1.0),
    City("Lyon", "FR", 45.7640, 4.8357, 2.3, 2.2),
    City("Marseille", "FR", 43.2965, 5.3698, 1.9, 1.7),
    City("Toulouse", "FR", 43.6047, 1.4442, 1.5, 1.3),
    City("Lille", "FR", 50.6292, 3.0573, 1.5, 1.3),
    City("Bordeaux", "FR", 44.8378, -0.5792, 1.3, 1.1),
    City("Barcelona", "ES", 41.3874, 2.1686, 5.6, 4.0),
    City("Valencia", "ES", 39.4699, -0.3763, 1.7, 1.4),
    City("Seville", "ES", 37.3891, -5.9845, 1.5, 1.2),
    City("Rome", "IT", 41.9028, 12.4964, 4.3, 3.8),
    City("Naples", "IT", 40.8518, 14.2681, 3.1, 2.4),
    City("Turin", "IT", 45.0703, 7.6869, 1.8, 1.5),
    City("Rotterdam", "NL", 51.9244, 4.4777, 1.8, 1.8),
    City("Brussels", "BE", 50.8503, 4.3517, 2.1, 2.4),
    City("Antwerp", "BE", 51.2194, 4.4025, 1.1, 1.2),
    City("Graz", "AT", 47.0707, 15.4395, 0.6, 0.6),
    City("Dublin", "IE", 53.3498, -6.2603, 1.9, 1.8),
    City("Lisbon", "PT", 38.7223, -9.1393, 2.9, 2.4),
    City("Porto", "PT", 41.1579, -8.6291, 1.7, 1.2),
    City("Helsinki", "FI", 60.1699, 24.9384, 1.5, 1.3),
    City("Athens", "GR", 37.9838, 23.7275, 3.6, 2.2),
    City("Bratislava", "SK", 48.1486, 17.1077, 0.7, 0.7),
    City("Zagreb", "HR", 45.8150, 15.9819, 1.1, 0.8),
    City("Zurich", "CH", 47.3769, 8.5417, 1.5, 0.5),
    City("Warsaw", "PL", 52.2297, 21.0122, 3.1, 0.5),
    City("Prague", "CZ", 50.0755, 14.4378, 2.2, 0.3),
    City("Budapest", "HU", 47.4979, 19.0402, 2.5, 0.0),
    City("Copenhagen", "DK", 55.6761, 12.5683, 2.1, 0.2),
    City("Stockholm", "SE", 59.3293, 18.0686, 2.4, 0.2),
    City("Oslo", "NO", 59.9139, 10.7522, 1.6, 0.0),
    City("Manchester", "GB", 53.4808, -2.2426, 2.8, 0.2),
    City("Bucharest", "RO", 44.4268, 26.1025, 2.3, 0.0),
    City("Antalya", "TR", 36.8969, 30.7133, 2.6, 0.0),
    City("Palma", "ES", 39.5696, 2.6502, 0.6, 0.4),
    City("Marrakesh", "MA", 31.6295, -7.9811, 1.0, 0.0),
    City("Cairo", "EG", 30.0444, 31.2357, 21.8, 0.0),
    City("Lagos", "NG", 6.5244, 3.3792, 15.9, 0.0),
    City("Johannesburg", "ZA", -26.2041, 28.0473, 6.2, 0.0),
    City("Los Angeles", "US", 34.0522, -118.2437, 12.9, 0.0),
    City("Miami", "US", 25.7617, -80.1918, 6.2, 0.0),
    City("Toronto", "CA", 43.6532, -79.3832, 6.4, 0.0),
    City("Mexico City", "MX", 19.4326, -99.1332, 21.8, 0.0),
    City("Sao Paulo", "BR", -23.5505, -46.6333, 22.4, 0.0),
    City("Bangkok", "TH", 13.7563, 100.5018, 11.0, 0.0),
    City("Singapore", "SG", 1.3521, 103.8198, 6.0, 0.0),
    City("Mumbai", "IN", 19.0760, 72.8777, 21.3, 0.0),
    City("Hong Kong", "HK", 22.3193, 114.1694, 7.5, 0.0),
    City("Tokyo", "JP", 35.6762, 139.6503, 37.2, 0.0),
)


def distance_km(latitude: Floats, longitude: Floats, other_latitude: Floats, other_longitude: Floats) -> Floats:
    """Great-circle distance in km between points in degrees (haversine formula); the arguments broadcast."""
    phi, other_phi = np.radians(latitude), np.radians(other_latitude)
    half_phi = (other_phi - phi) / 2
    half_lambda = np.radians(other_longitude - longitude) / 2
    chord = np.sin(half_phi) ** 2 + np.cos(phi) * np.cos(other_phi) * np.sin(half_lambda) ** 2
    distance: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(chord))
    return distance


def city_distances_km(cities: int) -> Floats:
    """The distances between the first `cities` cities, shape (cities, cities)."""
    latitude = np.array([city.latitude for city in CITIES[:cities]])
    longitude = np.array([city.longitude for city in CITIES[:cities]])
    return distance_km(latitude[:, None], longitude[:, None], latitude, longitude)
