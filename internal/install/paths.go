package install

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Paths says where an installation keeps what.
type Paths struct {
	Data     string // the data directory
	Settings string // installation.json

	Socket     string // API of the server, for the command line
	ServerPID  string // record of the running server
	ServerLock string // held by the running server
	ServerLog  string // output of the server when it runs detached

	NodeSettings string // settings file of hubship-node
	NodeData     string // data directory of the embedded node
	NodeLog      string // output of the node's supervisor

	ForgeSettings string // settings file of hubship-forge
	ForgeSocket   string // where hubship's HTTP port reaches the embedded forge
	ForgeAdmin    string // where accounts of the embedded forge are managed
	ForgePID      string // record of the running hubship-forge
	ForgeLog      string // output of hubship-forge

	Repository      string // hubship's copy of the deployment repository at the forge, bare
	Repositories    string // repositories of the embedded forge
	ForgeRepository string // the deployment repository among them, bare
	GitToken        string // token for the clone address, 0600
	Forge           string // database of the embedded forge
	ForgeToken      string // token of hubship's own account there, 0600
	OAuthSecret     string // of hubship as a client of the embedded forge, which people sign in with, 0600
	HookSecret      string // what the embedded forge signs its events to hubship with, 0600
	Clusters        string // folder of the clusters of the installation, 0700
	AgeKey          string // age identity that opens the repository's secrets, 0600
	Password        string // generated password of the try-out's hubs, 0600
	// ForgePassword is the first password of the embedded forge's first person,
	// 0600. It is never that of the hubs: whoever may use a hub knows the latter.
	ForgePassword string
	SigningKeys   string // folder of the keys that sign evidence and provenance, 0700
	History       string // database of runs and their logs, and of what must not be forgotten of releases
	Workflows     string // database of the durable workflows
	Plans         string // pages of what runs were about to change
	Work          string // scratch space, emptied when the server starts
	Logs          string // folder of logs
}

// At returns the paths below a data directory.
func At(data string) Paths {
	in := func(elem ...string) string { return filepath.Join(append([]string{data}, elem...)...) }
	return Paths{
		Data: data, Settings: in("installation.json"),
		Socket: in("server.sock"), ServerPID: in("server.pid"), ServerLock: in("server.lock"), ServerLog: in("logs", "server.log"),
		NodeSettings: in("node.json"), NodeData: in("node"), NodeLog: in("logs", "node.log"),
		ForgeSettings: in("forge.json"), ForgeSocket: in("run", "forge.sock"), ForgeAdmin: in("run", "admin.sock"), ForgePID: in("forge.pid"), ForgeLog: in("logs", "forge.log"),
		Repository: in("deployment.git"), Repositories: in("git"), ForgeRepository: in("git", "deployment.git"),
		GitToken: in("git-token"), Forge: in("forge.db"), ForgeToken: in("forge-token"), HookSecret: in("webhook-secret"), OAuthSecret: in("oauth-secret"), Clusters: in("clusters"), AgeKey: in("age.key"), Password: in("tryout-password"), ForgePassword: in("forge-password"),
		SigningKeys: in("signing-keys"),
		History:     in("history.db"), Workflows: in("workflows.db"), Plans: in("plans"), Work: in("work"), Logs: in("logs"),
	}
}

// RunDir is the folder of the node's sockets and mounts, gone after a reboot.
func (s Settings) RunDir() string { return filepath.Join("/run/hubship", s.Name) }

// NodeSocket is the socket on which the node's supervisor answers.
func (s Settings) NodeSocket() string { return filepath.Join(s.RunDir(), "node.sock") }

// URL is the dashboard's address.
func (s Settings) URL() string { return fmt.Sprintf("http://localhost:%d/", s.Port) }

// PeopleURL is the dashboard's address as people reach it.
func (s Settings) PeopleURL() string {
	if s.PublicURL != "" {
		return strings.TrimSuffix(s.PublicURL, "/") + "/"
	}
	return s.URL()
}

// RunURL is the address of a run's page, as people reach it.
func (s Settings) RunURL(id string) string { return s.PeopleURL() + "runs/" + id }

// HubURL is the address under which the HTTP port serves a hub's host name.
func (s Settings) HubURL(host string) string { return fmt.Sprintf("http://%s:%d/", host, s.Port) }

// The deployment repository at the embedded forge.
const (
	RepositoryOwner = "hubs" // the account that it belongs to
	RepositoryName  = "deployment"
)

// CloneURL is the deployment repository's address, without credentials.
func (s Settings) CloneURL() string {
	if s.GitHub != nil {
		return s.GitHub.Web() + "/" + s.GitHub.Repository + ".git"
	}
	return fmt.Sprintf("http://localhost:%d/git/%s/%s.git", s.Port, RepositoryOwner, RepositoryName)
}

// ForgeURL is where people look at the deployment repository and its pull
// requests.
func (s Settings) ForgeURL() string {
	if s.GitHub != nil {
		return s.GitHub.Web() + "/" + s.GitHub.Repository
	}
	return fmt.Sprintf("http://localhost:%d/forge/%s/%s", s.Port, RepositoryOwner, RepositoryName)
}

// NodeFile is the settings file of hubship-node.
type NodeFile struct {
	Name        string `json:"name"`
	DataDir     string `json:"dataDir"`
	RunDir      string `json:"runDir"`
	Bridge      string `json:"bridge"`
	NodeIP      string `json:"nodeIP"`
	PodCIDR     string `json:"podCIDR"`
	ServiceCIDR string `json:"serviceCIDR"`
	PortBase    int    `json:"portBase"`
	Fsync       bool   `json:"fsync"`
}

// NodeFile returns what hubship-node is told; data is the installation's data
// directory. It must not be called for an existing cluster.
func (s Settings) NodeFile(data string) NodeFile {
	return NodeFile{
		Name: s.Name, DataDir: At(data).NodeData, RunDir: s.RunDir(),
		Bridge: s.Node.Bridge, NodeIP: s.Node.NodeIP(), PodCIDR: s.Node.PodCIDR, ServiceCIDR: s.Node.ServiceCIDR,
		PortBase: s.Node.PortBase, Fsync: true,
	}
}

// WriteNodeFile writes what hubship-node is told to a file.
func WriteNodeFile(file string, n NodeFile) error { return writeJSON(file, n) }
