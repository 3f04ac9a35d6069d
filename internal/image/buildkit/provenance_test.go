package buildkit

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/model"
)

// yard is a Builder on a real registry in this process. There is no BuildKit:
// images are pushed by hand.
type yard struct {
	*Builder
	t    *testing.T
	tree fstest.MapFS
	src  model.Source
}

func newYard(t *testing.T, referrers bool) yard {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(referrers)))
	t.Cleanup(server.Close)
	keys, err := attest.OpenFolder(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{
		Address: "unix:///nowhere.sock", Registry: strings.TrimPrefix(server.URL, "http://"), Patience: -1,
		Keychain: authn.NewMultiKeychain(), Keys: keys,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return yard{b, t, fstest.MapFS{"Dockerfile": {Data: []byte("FROM scratch\n")}}, model.Source{
		Image: model.Image{ID: "user", Name: "user", Repository: "hub/user", Context: ".", Dockerfile: "Dockerfile"}, Hash: "s1",
	}}
}

var (
	deploy = model.BuildOptions{Origin: model.Origin{Run: "run-1", Commit: "c1", Into: "staging"}}
	pull   = model.BuildOptions{Origin: model.Origin{Run: "run-0", Commit: "c0", Into: "staging", Pull: 7, Head: "h7"}}
)

func (y yard) wanted(opts model.BuildOptions) want {
	y.t.Helper()
	w, err := y.Builder.wanted(y.t.Context(), y.tree["Dockerfile"].Data, y.src, opts)
	if err != nil {
		y.t.Fatal(err)
	}
	return w
}

// push puts an image where a build would, without a provenance.
func (y yard) push(w want) model.Built {
	y.t.Helper()
	img, err := random.Image(500, 2)
	if err != nil {
		y.t.Fatal(err)
	}
	img = mutate.Annotations(img, map[string]string{image.LabelKey: w.built.Key}).(v1.Image)
	tag, err := name.NewTag(w.built.Ref(), name.Insecure)
	if err != nil {
		y.t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		y.t.Fatal(err)
	}
	built, ok, err := y.lookUp(y.t.Context(), w)
	if err != nil || !ok {
		y.t.Fatalf("pushed, and not there: %v, %v", ok, err)
	}
	return built
}

func (y yard) signed(w want, built model.Built) {
	y.t.Helper()
	if err := y.sign(y.t.Context(), w, built, provenanceOf(w, time.Now())); err != nil {
		y.t.Fatal(err)
	}
}

// usable says whether the image is found for a deploy, and may be deployed.
func (y yard) usable(built model.Built) (found, exists bool) {
	y.t.Helper()
	got, found, err := y.Find(y.t.Context(), y.tree, y.src)
	if err != nil {
		y.t.Fatal(err)
	}
	exists, err = y.Exists(y.t.Context(), built)
	if err != nil {
		y.t.Fatal(err)
	}
	if found && got.Digest != built.Digest {
		y.t.Errorf("found %s, want %s", got.Digest, built.Digest)
	}
	return found, exists
}

func TestOnlySignedImagesAreDeployable(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		y := newYard(t, referrers)
		w := y.wanted(deploy)
		built := y.push(w)
		if found, exists := y.usable(built); found || exists {
			t.Fatalf("referrers API %v: an image without a provenance: found %v, exists %v", referrers, found, exists)
		}
		y.signed(w, built)
		if found, exists := y.usable(built); !found || !exists {
			t.Fatalf("referrers API %v: an image with its provenance: found %v, exists %v", referrers, found, exists)
		}
		// A new key is the newest, and the old one is believed until it goes.
		keys := y.o.Keys.(*attest.Folder)
		old, err := keys.Newest()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Rotate(); err != nil {
			t.Fatal(err)
		}
		if found, exists := y.usable(built); !found || !exists {
			t.Error("after a rotation the image may not be deployed")
		}
		if _, err := keys.Remove(old.ID); err != nil {
			t.Fatal(err)
		}
		if found, exists := y.usable(built); found || exists {
			t.Error("an image of a removed key may be deployed")
		}
	}
}

// Whoever may push replaces images and attaches what was signed elsewhere.
func TestForgedProvenance(t *testing.T) {
	for name, forge := range map[string]func(y yard, w want, built model.Built) (model.Built, []byte){
		"another image under the tag": func(y yard, w want, built model.Built) (model.Built, []byte) {
			y.signed(w, built)
			return y.push(w), nil
		},
		"the provenance of another image": func(y yard, w want, built model.Built) (model.Built, []byte) {
			y.signed(w, built)
			return y.push(w), y.attached(w.repository, built.Digest)
		},
		"the provenance of a proposed image": func(y yard, w want, built model.Built) (model.Built, []byte) {
			p := y.wanted(pull)
			y.signed(p.into(y.registry, w.repository), built)
			return built, nil
		},
		"the provenance of another installation": func(y yard, w want, built model.Built) (model.Built, []byte) {
			keys, err := attest.OpenFolder(filepath.Join(y.t.TempDir(), "keys"))
			if err != nil {
				y.t.Fatal(err)
			}
			p := provenanceOf(w, time.Now())
			p.Image, p.Approval = built, attest.Approved
			envelope, err := p.Seal(keys)
			if err != nil {
				y.t.Fatal(err)
			}
			return built, envelope
		},
		"evidence": func(y yard, w want, built model.Built) (model.Built, []byte) {
			ev := attest.Evidence{Evidence: model.Evidence{Hub: "h", Environment: "e", Cluster: "c", Shared: "s", Images: []model.Built{built}, Verified: model.Verification{Passed: true}},
				Namespace: "n", Release: "r", Sequence: 1}
			envelope, err := ev.Seal(y.o.Keys)
			if err != nil {
				y.t.Fatal(err)
			}
			return built, envelope
		},
		"junk": func(_ yard, _ want, built model.Built) (model.Built, []byte) { return built, []byte("{}") },
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, false)
			w := y.wanted(deploy)
			built, envelope := forge(y, w, y.push(w))
			if envelope != nil {
				if err := y.registry.Attach(t.Context(), w.repository, built.Digest, envelope); err != nil {
					t.Fatal(err)
				}
			}
			if found, exists := y.usable(built); found || exists {
				t.Errorf("found %v, exists %v", found, exists)
			}
			// What is forged keeps nothing genuine from being found.
			y.signed(w, built)
			if found, exists := y.usable(built); !found || !exists {
				t.Errorf("beside it, the genuine one: found %v, exists %v", found, exists)
			}
		})
	}
}

func (y yard) attached(repository, digest string) []byte {
	y.t.Helper()
	all, err := y.registry.Attached(y.t.Context(), repository, digest)
	if err != nil || len(all) != 1 {
		y.t.Fatalf("%d envelopes, %v", len(all), err)
	}
	return all[0]
}

// What a check built is deployed when its pull request was merged with the
// very commit that was checked, and never before.
func TestTakingOverWhatACheckBuilt(t *testing.T) {
	merged := func(heads ...string) func(context.Context, string) (bool, error) {
		return func(_ context.Context, commit string) (bool, error) {
			for _, h := range heads {
				if h == commit {
					return true, nil
				}
			}
			return false, nil
		}
	}
	for _, c := range []struct {
		name   string
		merged func(context.Context, string) (bool, error)
		signed bool
		want   bool
	}{
		{"merged", merged("h7"), true, true},
		{"not merged", merged("h6"), true, false},
		{"nobody can tell", nil, true, false},
		{"merged, and built by nobody knows whom", merged("h7"), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := newYard(t, false)
			check := y.wanted(pull)
			if !strings.Contains(check.built.Name, "/"+model.UnapprovedRepository+"/") {
				t.Fatalf("a check builds %s", check.built.Name)
			}
			built := y.push(check)
			if c.signed {
				y.signed(check, built)
				if again, ok, err := y.find(t.Context(), check); err != nil || !ok || again.Digest != built.Digest {
					t.Errorf("the next check does not find it: %v, %v", ok, err)
				}
			}
			if found, exists := y.usable(built); found || exists {
				t.Fatalf("before the merge: found %v, exists %v", found, exists)
			}
			opts := deploy
			opts.Merged = c.merged
			w := y.wanted(opts)
			taken, ok, err := y.takeOver(t.Context(), w, io.Discard)
			if err != nil || ok != c.want {
				t.Fatalf("taken over %v, %v; want %v", ok, err, c.want)
			}
			if !c.want {
				if found, _ := y.usable(built); found {
					t.Error("it is found for a deploy")
				}
				return
			}
			if taken.Digest != built.Digest || taken.Name != w.built.Name || isUnapproved(taken.Name) {
				t.Errorf("taken over as %+v", taken)
			}
			if found, exists := y.usable(taken); !found || !exists {
				t.Errorf("after the merge: found %v, exists %v", found, exists)
			}
			keys, err := y.o.Keys.Public()
			if err != nil {
				t.Fatal(err)
			}
			p, err := attest.OpenProvenance(y.attached(w.repository, taken.Digest), keys, taken)
			if err != nil || p.Pull != 7 || p.Head != "h7" || p.Promoted == "" || p.Commit != "c1" {
				t.Errorf("its provenance says %+v, %v", p, err)
			}
		})
	}
}

// Nothing that is deployed starts from, or goes to, what is not approved.
func TestUnapprovedNamesAreRefused(t *testing.T) {
	y := newYard(t, false)
	for _, from := range []string{
		y.o.Registry + "/" + model.UnapprovedRepository + "/hub/user:h-1",
		model.UnapprovedRepository + "/hub/user", // by way of a mirror of docker.io
		"docker.io/" + model.UnapprovedRepository + "/hub/user@sha256:" + strings.Repeat("a", 64),
	} {
		dockerfile := []byte("FROM " + from + "\n")
		if _, err := y.Builder.wanted(t.Context(), dockerfile, y.src, deploy); err == nil || !strings.Contains(err.Error(), "not merged") {
			t.Errorf("FROM %s: %v", from, err)
		}
	}
	src := y.src
	src.Repository = model.UnapprovedRepository + "/user"
	if _, err := y.Builder.wanted(t.Context(), []byte("FROM scratch\n"), src, deploy); err == nil {
		t.Errorf("an image goes to %s", src.Repository)
	}
}

func TestNothingIsFoundWithoutKeys(t *testing.T) {
	y := newYard(t, false)
	w := y.wanted(deploy)
	built := y.push(w)
	y.signed(w, built)
	y.Builder.o.Keys = nil
	if _, _, err := y.Find(t.Context(), y.tree, y.src); err == nil {
		t.Error("it is not known whose image it is, and no error")
	}
	if _, err := y.Exists(t.Context(), built); err == nil {
		t.Error("it is not known whose image it is, and no error")
	}
}
