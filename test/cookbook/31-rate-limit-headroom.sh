# Find your own rate-limit headroom.
out=$(curl -i -H "Authorization: Bearer $TOKEN" \
     https://scaivault.scailabs.ai/v1/secrets?limit=1 \
  | grep -i ratelimit)
for h in X-RateLimit-Limit X-RateLimit-Remaining X-RateLimit-Reset; do
  grep -Eiq "^$h: [0-9]+" <<<"$out" || { echo "no $h in: $out"; exit 1; }
done
