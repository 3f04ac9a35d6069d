package image

import "testing"

func TestKey(t *testing.T) {
	t.Parallel()
	debian := Base{Ref: "docker.io/library/debian:bookworm-slim", Digest: "sha256:aa"}
	node := Base{Ref: "docker.io/library/node:20", Digest: "sha256:bb"}
	base := Key("s1", []Base{debian, node})

	same := map[string]string{
		"order":      Key("s1", []Base{node, debian}),
		"repetition": Key("s1", []Base{debian, node, debian}),
	}
	for what, key := range same {
		if key != base {
			t.Errorf("%s of the bases changes the key", what)
		}
	}
	other := map[string]string{
		"source":         Key("s2", []Base{debian, node}),
		"digest":         Key("s1", []Base{{Ref: debian.Ref, Digest: "sha256:ac"}, node}),
		"reference":      Key("s1", []Base{{Ref: "docker.io/library/debian:trixie", Digest: "sha256:aa"}, node}),
		"missing base":   Key("s1", []Base{debian}),
		"no base":        Key("s1", nil),
		"source as base": Key("s1\nbase "+debian.String(), []Base{node}),
	}
	seen := map[string]string{base: "the first"}
	for what, key := range other {
		if as, ok := seen[key]; ok {
			t.Errorf("%s has the key of %s", what, as)
		}
		seen[key] = what
	}

	// A change of how keys are made rebuilds every image everywhere: it must be
	// meant, not happen.
	const golden = "db355865b787b30538133d9dd3200887316376d9b8dcf5dce7e69092321126a1"
	if got := Key("source", []Base{debian}); got != golden {
		t.Errorf("Key = %s, want %s", got, golden)
	}
	if got, want := Tag(golden), "h-"+golden[:20]; got != want {
		t.Errorf("Tag = %s, want %s", got, want)
	}
}
