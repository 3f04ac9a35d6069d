package release

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const zeroToJupyterHub = `
jupyterhub:
  hub:
    image: {name: quay.io/jupyterhub/k8s-hub, tag: 4.4.0, pullPolicy: Always}
    initContainers: [{name: templates, image: "docker.io/alpine/git:2.40", command: [git]}]
    extraContainers: [{name: side, image: quay.io/x/side}]
    services: {dask-gateway: {display: false, name: x, tag: y}}
    config: {KubeSpawner: {image: "quay.io/x/spawned:1"}, KubernetesBuildExecutor: {build_image: "quay.io/jupyterhub/repo2docker:2023"}}
  proxy:
    chp: {image: {name: quay.io/jupyterhub/configurable-http-proxy, tag: "5.0"}}
    traefik: {image: {name: traefik, tag: v3.5.0}}
    secretSync: {image: {name: quay.io/jupyterhub/k8s-secret-sync, tag: 4.4.0}}
  singleuser:
    image: {name: us-docker.pkg.dev/p/r/user, tag: 17}
    networkTools: {image: {name: quay.io/jupyterhub/k8s-network-tools, tag: 4.4.0}}
    extraImages: {other: {name: quay.io/x/other, tag: a}}
    profileList:
    - display_name: A
      kubespawner_override: {image: "quay.io/x/a:1"}
      profile_options:
        image:
          display_name: Image
          unlisted_choice: {enabled: true, kubespawner_override: {image: "{value}"}}
          choices:
            b: {display_name: B, kubespawner_override: {image: "quay.io/x/b:2"}}
            c: {display_name: C, kubespawner_override: {image: "quay.io/x/c@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}
  prePuller:
    hook: {image: {name: quay.io/jupyterhub/k8s-image-awaiter, tag: 4.4.0}}
    pause: {image: {name: registry.k8s.io/pause, tag: "3.10"}}
  scheduling: {userScheduler: {image: {name: registry.k8s.io/kube-scheduler, tag: v1.30.14}}}
dask: {gateway: {image: {registry: ghcr.io/, repository: dask/dask-gateway-server, tag: "2025.4"}, backend: {image: {repository: ghcr.io/dask/dask-gateway, tag: null}}}}
bare: {image: debian, imagePullPolicy: Always, imagePullSecrets: [x], logo: {image: "an image, of words"}}
`

func TestImages(t *testing.T) {
	values, err := ParseValues([]byte(zeroToJupyterHub))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, i := range Images(values) {
		got[i.At()] = i.Ref
	}
	want := map[string]string{
		"bare.image":                                                      "debian",
		"dask.gateway.backend.image":                                      "ghcr.io/dask/dask-gateway",
		"dask.gateway.image":                                              "ghcr.io/dask/dask-gateway-server:2025.4",
		"jupyterhub.hub.config.KubeSpawner.image":                         "quay.io/x/spawned:1",
		"jupyterhub.hub.extraContainers[0].image":                         "quay.io/x/side",
		"jupyterhub.hub.image":                                            "quay.io/jupyterhub/k8s-hub:4.4.0",
		"jupyterhub.hub.initContainers[0].image":                          "docker.io/alpine/git:2.40",
		"jupyterhub.prePuller.hook.image":                                 "quay.io/jupyterhub/k8s-image-awaiter:4.4.0",
		"jupyterhub.prePuller.pause.image":                                "registry.k8s.io/pause:3.10",
		"jupyterhub.proxy.chp.image":                                      "quay.io/jupyterhub/configurable-http-proxy:5.0",
		"jupyterhub.proxy.secretSync.image":                               "quay.io/jupyterhub/k8s-secret-sync:4.4.0",
		"jupyterhub.proxy.traefik.image":                                  "traefik:v3.5.0",
		"jupyterhub.scheduling.userScheduler.image":                       "registry.k8s.io/kube-scheduler:v1.30.14",
		"jupyterhub.singleuser.extraImages.other":                         "quay.io/x/other:a",
		"jupyterhub.singleuser.image":                                     "us-docker.pkg.dev/p/r/user:17",
		"jupyterhub.singleuser.networkTools.image":                        "quay.io/jupyterhub/k8s-network-tools:4.4.0",
		"jupyterhub.hub.config.KubernetesBuildExecutor.build_image":       "quay.io/jupyterhub/repo2docker:2023",
		"jupyterhub.singleuser.profileList[0].kubespawner_override.image": "quay.io/x/a:1",
		"jupyterhub.singleuser.profileList[0].profile_options.image.choices.b.kubespawner_override.image": "quay.io/x/b:2",
		"jupyterhub.singleuser.profileList[0].profile_options.image.choices.c.kubespawner_override.image": "quay.io/x/c@sha256:" + strings.Repeat("a", 64),
	}
	for _, at := range slices.Sorted(maps.Keys(want)) {
		if got[at] != want[at] {
			t.Errorf("%s: %q, want %q", at, got[at], want[at])
		}
		delete(got, at)
	}
	if len(got) > 0 {
		t.Errorf("taken for images: %v", got)
	}
}

// What is pinned is found again at the same places with its digest, and nothing
// else of the values changes.
func TestPinImage(t *testing.T) {
	merged, err := ParseValues([]byte(zeroToJupyterHub))
	if err != nil {
		t.Fatal(err)
	}
	digest := "sha256:" + strings.Repeat("b", 64)
	rapid.Check(t, func(t *rapid.T) {
		all := Images(merged)
		chosen := rapid.SliceOfNDistinct(rapid.IntRange(0, len(all)-1), 0, len(all), rapid.ID).Draw(t, "chosen")
		values := map[string]any{}
		for _, n := range chosen {
			if err := PinImage(values, merged, all[n], digest); err != nil {
				t.Fatal(err)
			}
		}
		after := Merge(merged, values)
		found := Images(after)
		if len(found) != len(all) {
			t.Fatalf("%d images, then %d", len(all), len(found))
		}
		for n, i := range all {
			pinned := slices.Contains(chosen, n) && !Pinned(i.Ref)
			switch got := found[n]; {
			case got.At() != i.At():
				t.Fatalf("%s became %s", i.At(), got.At())
			case pinned && DigestOf(got.Ref) != digest:
				t.Fatalf("%s: %s", i.At(), got.Ref)
			case !pinned && got.Ref != i.Ref:
				t.Fatalf("%s: %s became %s", i.At(), i.Ref, got.Ref)
			}
		}
		if len(chosen) == 0 && !reflect.DeepEqual(after, merged) {
			t.Fatal("nothing was pinned, and the values changed")
		}
	})
}

func TestRuns(t *testing.T) {
	objects, err := ParseManifest([]byte(`{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {jobTemplate: {spec: {template: {spec: {initContainers: [{image: "a:1"}], containers: [{image: "b:1"}]}}}}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: config}, data: {image: "c:1"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := Runs(objects); !maps.Equal(got, map[string]bool{"a:1": true, "b:1": true}) {
		t.Errorf("%v", got)
	}
}
