package httpapi

// escapeBreaks writes line feeds, carriage returns and tabs that stand raw inside of JSON strings as JSON writes them.
// Nothing else of the body changes: what was valid stays as it is, and other control characters stay invalid.
func escapeBreaks(body []byte) []byte {
	out := make([]byte, 0, len(body))
	inside, escaped := false, false
	for _, c := range body {
		raw := inside && (c == '\n' || c == '\r' || c == '\t')
		switch {
		case escaped:
			escaped = false
		case raw:
			out = append(out, '\\', map[byte]byte{'\n': 'n', '\r': 'r', '\t': 't'}[c])
			continue
		case c == '"':
			inside = !inside
		case c == '\\':
			escaped = inside
		}
		out = append(out, c)
	}
	return out
}
