package release

import "testing"

// TestScrubLeavesImages has names of images that speak of secrets, and secrets
// that look a little like images.
func TestScrubLeavesImages(t *testing.T) {
	for text, kept := range map[string]bool{
		"quay.io/jupyterhub/k8s-secret-sync:3.3.8":       true,
		"registry.example.org:5000/token-service:v1_2":   true,
		"password:hunter2hunter2":                        false,
		"user/password:hunter2hunter2":                   false,
		"example.org/api token: abcdefghijkl":            false,
		"quay.io/a/secret:abc\npassword: hunter2hunter2": false,
	} {
		if clean, hidden := scrub(text); (clean == text && len(hidden) == 0) != kept {
			t.Errorf("%q: %q, hidden %q", text, clean, hidden)
		}
	}
}
