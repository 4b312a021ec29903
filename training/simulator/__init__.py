"""The invented world behind `training.simulate`: places, merchants, card holders' habits, fraud."""
