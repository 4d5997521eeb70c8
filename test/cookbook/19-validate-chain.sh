# Validate a cert chain a client gave you.
out=$(issued client.svc.cluster.local)
jq -r .certificate <<<"$out" >client.crt
jq -r '.ca_chain[]' <<<"$out" >client-chain.crt

# As the page prints it: sed gets its backslashes doubled and changes nothing, so that the JSON has raw line breaks.
as_printed() {
curl -X POST https://scaivault.scailabs.ai/v1/pki/certificates/validate \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d "{
    \"certificate_pem\": \"$(cat client.crt | sed -z 's/\\n/\\\\n/g')\",
    \"chain_pem\":      \"$(cat client-chain.crt | sed -z 's/\\n/\\\\n/g')\",
    \"check_revocation\": true
  }"
}
# As the page means it: line breaks are escaped.
as_meant() {
curl -X POST https://scaivault.scailabs.ai/v1/pki/certificates/validate \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d "{
    \"certificate_pem\": \"$(cat client.crt | sed -z 's/\n/\\n/g')\",
    \"chain_pem\":      \"$(cat client-chain.crt | sed -z 's/\n/\\n/g')\",
    \"check_revocation\": true
  }"
}
for form in as_printed as_meant; do
  verdict=$($form)
  equal "true []" "$(jq -r '"\(.valid) \(.errors)"' <<<"$verdict")" "$form"
  equal "true false" "$(jq -r '"\(.revocation_checked) \(.revoked)"' <<<"$verdict")" "$form: revocation"
  equal "$(jq -r .serial_number <<<"$out")" "$(jq -r .serial_number <<<"$verdict")" "$form: serial number"
done
equal "valid  true" "$(scaivault pki validate client.crt --chain client-chain.crt --check-revocation | sed -n 's/^valid  */valid  /p')" CLI

# A stranger's certificate is an answer, not an error.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=client.svc.cluster.local \
  -keyout stranger.key -out client.crt 2>/dev/null
cp client.crt client-chain.crt
for form in as_printed as_meant; do equal false "$($form | jq .valid)" "$form: a stranger"; done
