# Find unused secrets (30-day baseline). A read counts within a second.
unused() {
  curl -H "Authorization: Bearer $TOKEN" \
     "https://scaivault.scailabs.ai/v1/secrets?include_metadata=true&limit=200" \
  | jq -r '.secrets[] | select(.access_count_30d == 0) | .path'
}
has_line never/read "$(unused)" "never read"
get /v1/secrets/environments/production/billing/sendgrid >/dev/null
for i in $(seq 1 30); do
  unused | grep -qx environments/production/billing/sendgrid || exit 0
  read -rt 0.1 <> <(:) || true
done
echo "a secret that was read still counts as unused after 3 s"
exit 1
