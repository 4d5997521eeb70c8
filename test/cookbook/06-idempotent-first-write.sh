# Idempotent write of initial value (REST form).
first() {
  if [ "$(status https://scaivault.scailabs.ai/v1/secrets/app/initial/metadata)" = 404 ]; then
    status -X PUT -H "Content-Type: application/json" -d '{"data":{"key":"first"},"secret_type":"api_key"}' \
      https://scaivault.scailabs.ai/v1/secrets/app/initial
  fi
}
equal 201 "$(first)" "first run"
equal "" "$(first)" "second run writes nothing"
equal 1 "$(get /v1/secrets/app/initial | jq .version)" version
