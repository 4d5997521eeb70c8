# Force rotation now. The page uses the shell variable PATH, which is the program search path; here it has another name.
curl -f -o /dev/null -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
     -d '{"name":"recipe-10","interval":"90d","auto_generate":true}' https://scaivault.scailabs.ai/v1/rotation/policies
put rotated/now '{"data":{"password":"leaked","host":"db"}}'
curl -f -o /dev/null -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
     -d '{"secret_path":"rotated/now"}' https://scaivault.scailabs.ai/v1/rotation/policies/recipe-10/secrets
SECRET_PATH=rotated/now
curl -X POST https://scaivault.scailabs.ai/v1/secrets/$SECRET_PATH/rotate \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"reason": "compromise"}' >rotated.json
equal completed "$(jq -r .status rotated.json)" "status"
equal 2 "$(jq -r .new_version rotated.json)" "new version"
equal db "$(get /v1/secrets/rotated/now | jq -r .data.host)" "the other field"
equal 404 "$(status "https://scaivault.scailabs.ai/v1/secrets/rotated/now?version=1")" "the compromised version"
