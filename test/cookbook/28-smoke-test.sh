# Smoke test the API.
curl -fsS https://scaivault.scailabs.ai/v1/health
