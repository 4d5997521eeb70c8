# Revoke a cert. The page's serial number is cut short; here it is one that issuing answered.
out=$(issued leaked.svc.cluster.local)
serial=$(jq -r .serial_number <<<"$out")
[[ $serial =~ ^([0-9A-F]{2}:)+[0-9A-F]{2}$ ]] || { echo "serial number '$serial'"; exit 1; }
revoked=$(printed 1A:2B:... "$serial" <<'PRINTED'
curl -X POST https://scaivault.scailabs.ai/v1/pki/revoke \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"serial_number": "1A:2B:...", "reason": "key_compromise"}'
PRINTED
)
equal "revoked key_compromise" "$(jq -r '"\(.status) \(.revocation_reason)"' <<<"$revoked")" "the answer"
equal revoked "$(get "/v1/pki/certificates/$(jq -r .id <<<"$out")" | jq -r .status)" "its state"
equal 200 "$(status -X POST -H "Content-Type: application/json" -d "{\"serial_number\": \"$(tr -d : <<<"${serial,,}")\"}" \
  https://scaivault.scailabs.ai/v1/pki/revoke)" "again, in another way of writing it"
equal 422 "$(status -X POST -H "Content-Type: application/json" -d '{"serial_number": "1A:2B:...", "reason": "key_compromise"}' \
  https://scaivault.scailabs.ai/v1/pki/revoke)" "the page's own number"
jq '{certificate_pem, chain_pem: .ca_chain_pem, check_revocation: true}' <<<"$out" >validate.json
equal "false true" "$(post /v1/pki/certificates/validate @validate.json | jq -r '"\(.valid) \(.revoked)"')" "validated"
