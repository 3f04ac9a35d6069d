// Package addons applies what every cluster needs beside its control plane: the
// name server and the default storage class.
package addons

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"text/template"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

//go:embed manifests/*.yaml
var manifests embed.FS

// FieldManager owns the fields that the add-ons set.
const FieldManager = "hubship-node"

// Values fill the manifests.
type Values struct {
	// DNSIP is the address of the name server's Service.
	DNSIP string
	// CoreDNSImage is the name server's image.
	CoreDNSImage string
	// StorageClass and Provisioner name the default storage class and who
	// serves it.
	StorageClass, Provisioner string
}

// resources names the API resource of each kind in the manifests, so that no
// discovery is needed.
var resources = map[string]string{
	"ServiceAccount":     "serviceaccounts",
	"ClusterRole":        "clusterroles",
	"ClusterRoleBinding": "clusterrolebindings",
	"ConfigMap":          "configmaps",
	"Deployment":         "deployments",
	"Service":            "services",
	"StorageClass":       "storageclasses",
}

// Apply applies all manifests with server-side apply. It can be repeated.
func Apply(ctx context.Context, config *rest.Config, values Values) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("apply add-ons: %w", err)
	}
	objects, err := render(values)
	if err != nil {
		return fmt.Errorf("render add-ons: %w", err)
	}
	for _, object := range objects {
		if err := apply(ctx, client, object); err != nil {
			return fmt.Errorf("apply add-on %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

func apply(ctx context.Context, client dynamic.Interface, object *unstructured.Unstructured) error {
	resource, ok := resources[object.GetKind()]
	if !ok {
		return fmt.Errorf("no known resource for kind %s", object.GetKind())
	}
	group, err := schema.ParseGroupVersion(object.GetAPIVersion())
	if err != nil {
		return err
	}
	data, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	force := true
	_, err = client.Resource(group.WithResource(resource)).Namespace(object.GetNamespace()).
		Patch(ctx, object.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: FieldManager, Force: &force})
	return err
}

func render(values Values) ([]*unstructured.Unstructured, error) {
	t, err := template.New("").Option("missingkey=error").ParseFS(manifests, "manifests/*.yaml")
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, name := range []string{"coredns.yaml", "storage.yaml"} {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, name, values); err != nil {
			return nil, err
		}
		decoder := yaml.NewYAMLOrJSONDecoder(&b, 4096)
		for {
			object := &unstructured.Unstructured{}
			err := decoder.Decode(object)
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if len(object.Object) > 0 {
				objects = append(objects, object)
			}
		}
	}
	return objects, nil
}
