package pki

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// WriteKubeconfig writes a kubeconfig, mode 0600, whose one context, cluster
// and user are called context. The certificates of the authority and of the
// client named cert are copied into it, so that the file stands alone.
func (d *Dir) WriteKubeconfig(path, context, server, authority, cert string) error {
	var data [3][]byte
	for i, file := range []string{d.Cert(authority), d.Cert(cert), d.Key(cert)} {
		var err error
		if data[i], err = os.ReadFile(file); err != nil {
			return fmt.Errorf("write kubeconfig %s: %w", path, err)
		}
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[context] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: data[0]}
	config.AuthInfos[context] = &clientcmdapi.AuthInfo{ClientCertificateData: data[1], ClientKeyData: data[2]}
	config.Contexts[context] = &clientcmdapi.Context{Cluster: context, AuthInfo: context}
	config.CurrentContext = context
	out, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	if err := replaceFile(path, out, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	return nil
}
