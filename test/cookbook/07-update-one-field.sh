# Update one field without overwriting others (REST form): read, change, write.
secret=$(get /v1/secrets/app/config)
new=$(jq -c '{data: (.data + {feature_flag_x: true}), secret_type}' <<<"$secret")
put app/config "$new"
equal true "$(get /v1/secrets/app/config | jq .data.feature_flag_x)" "new field"
equal 1 "$(get /v1/secrets/app/config | jq .data.a)" "old field"
equal json "$(get /v1/secrets/app/config | jq -r .secret_type)" "type"
