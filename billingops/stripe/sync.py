"""The only place that reads from Stripe and writes the mirror."""
