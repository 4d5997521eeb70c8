# docs/how-to/internal-ca.md, all of its commands. (The cookbook's own page ends with 36.)
mkdir internal-ca && cd internal-ca
sed -n '/^```sh$/,/^```$/{/^```/d;p}' "$(dirname "${BASH_SOURCE[0]}")/../../docs/how-to/internal-ca.md" |
  sed "s/18443/$((20000 + RANDOM % 20000))/g" >page.sh
[ "$(wc -l <page.sh)" -gt 30 ] || { echo "the page has only $(wc -l <page.sh) lines of commands"; exit 1; }
out=$(bash -euo pipefail -c 'trap "jobs -p | xargs -r kill" EXIT; source ./page.sh' 2>&1) || { echo "$out"; exit 1; }
grep -q s_server answer || { echo "the server's answer: $(cat answer)"; exit 1; }
grep -q "billing.svc.cluster.local .* revoked " <<<"$out" || { echo "not revoked: $out"; exit 1; }
has_line "no longer, says the list" "$out" "a revoked certificate on the list"
has_line "billing/tls.crt: revoked" "$out" "the OCSP responder"
has_line "Response verify OK" "$out" "the signature of its answer"
has_line "no longer" "$out" "a revoked certificate is not valid"
has_line "nothing is made by a revoked authority" "$out" "a revoked authority"
has_line "certificates of the old key are in use" "$out" "a key that is in use"
equal 600 "$(stat -c %a billing/tls.key)" "mode of the key's file"
