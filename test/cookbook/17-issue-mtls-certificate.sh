# Issue a 7-day mTLS certificate.
out=$(curl -X POST https://scaivault.scailabs.ai/v1/pki/issue/svc-mtls \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"common_name": "billing.svc.cluster.local", "ttl": "168h"}')
jq -r .certificate <<<"$out" >issued.crt
jq -r .private_key <<<"$out" >issued.key
jq -r '.ca_chain[]' <<<"$out" >issued-chain.crt
equal "$(openssl pkey -in issued.key -pubout)" "$(openssl x509 -in issued.crt -pubkey -noout)" "the key of the certificate"
openssl verify -CAfile issued-chain.crt -verify_hostname billing.svc.cluster.local issued.crt >/dev/null
ends=$(date -d "$(openssl x509 -in issued.crt -enddate -noout | cut -d= -f2)" +%s)
left=$((ends - $(date +%s)))
[ "$left" -gt $((7 * 86400 - 120)) ] && [ "$left" -le $((7 * 86400)) ] || { echo "valid for $left s, want about $((7 * 86400))"; exit 1; }
equal null "$(get "/v1/pki/certificates/$(jq -r .id <<<"$out")" | jq .private_key)" "the key, a second time"

scaivault pki issue svc-mtls billing.svc.cluster.local --ttl 168h --out issued >/dev/null
equal 600 "$(stat -c %a issued/tls.key)" "mode of the key's file (CLI)"
openssl verify -CAfile issued/ca.crt -untrusted issued/tls.crt issued/tls.crt >/dev/null
