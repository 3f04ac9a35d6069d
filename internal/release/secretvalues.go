package release

// SecretValues are the values whose names are those of secrets, of all that a
// release is set to: what is hidden where it is not known any more which values
// were decrypted.
func SecretValues(values map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range values {
		if secretName(k) {
			out[k] = v
			continue
		}
		switch v := v.(type) {
		case map[string]any:
			if below := SecretValues(v); len(below) > 0 {
				out[k] = below
			}
		case []any:
			if below := secretItems(v); len(below) > 0 {
				out[k] = below
			}
		}
	}
	return out
}

// secretItems are those of a list, and the values of variables with a secret's
// name: {name: API_TOKEN, value: …}.
func secretItems(list []any) []any {
	var out []any
	for _, e := range list {
		switch e := e.(type) {
		case map[string]any:
			if name, ok := e["name"].(string); ok && secretName(name) {
				out = append(out, e["value"])
			}
			if below := SecretValues(e); len(below) > 0 {
				out = append(out, below)
			}
		case []any:
			out = append(out, secretItems(e)...)
		}
	}
	return out
}
