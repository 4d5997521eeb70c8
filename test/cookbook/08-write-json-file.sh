# Write a JSON blob from a file.
echo '{"from":"file","big":12345678901234567890}' > ./config.json
scaivault secrets write app/config \
  --type json \
  --json-file ./config.json
get /v1/secrets/app/config | grep -q 12345678901234567890 || { echo "the number was not kept as written"; exit 1; }
