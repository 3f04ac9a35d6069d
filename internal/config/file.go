package config

// FileName is where a deployment repository describes itself.
const FileName = "hubship.yaml"

// ProcessFiles are the files that a repository's process is read from, in both
// layouts, as patterns of path.Match: a change of any other file alters nothing
// about how changes are shipped. hubploy's develop is an environment only where a
// hub has settings for it.
var ProcessFiles = []string{FileName, hubployPattern, "deployments/*/config/develop.yaml", "deployments/*/secrets/develop.yaml"}

// Version is the version of the format that this package reads.
const Version = 1

// The types below are the format: the strict decoder walks them, and the JSON
// Schema is generated from them. Names come from the json tags; a field
// without omitempty is required.

type file struct {
	Version      int                    `json:"version" jsonschema:"enum=1" jsonschema_description:"Version of this format."`
	Hubs         hubs                   `json:"hubs" jsonschema_description:"Where the hubs are, and what their releases are made of."`
	Images       map[string]image       `json:"images,omitempty" jsonschema_description:"Images built from this repository, by name."`
	Environments map[string]environment `json:"environments" jsonschema_description:"Stages that a change passes through, by name."`
	Checks       []check                `json:"checks,omitempty" jsonschema_description:"The repository's own tests, run on the result of merging each pull request, in a sandbox, without credentials. The same content is tested only once."`
	Review       review                 `json:"review,omitempty" jsonschema_description:"What a pull request needs besides green checks."`
	Revert       string                 `json:"revert,omitempty" jsonschema:"enum=propose,enum=auto" jsonschema_description:"What happens to a change that fails in the first environment. propose: hubship opens a pull request that reverts it, and a person merges that. auto: hubship merges that pull request once its checks have passed. Default: propose."`
	Verify       verify                 `json:"verify,omitempty" jsonschema_description:"How a live release is tested."`
}

type hubs struct {
	Path     string            `json:"path" jsonschema_description:"Pattern of the folders that are hubs, such as deployments/*. A folder's name is its hub's name."`
	Exclude  []string          `json:"exclude,omitempty" jsonschema_description:"Patterns of folders that path matches but that are not hubs. A pattern matches the folder's name or, if it contains a slash, its path."`
	Chart    string            `json:"chart" jsonschema_description:"Folder of the Helm chart that all hubs share."`
	Charts   map[string]string `json:"charts,omitempty" jsonschema_description:"Chart folders of hubs that have a chart of their own, by the hub's name."`
	Values   []string          `json:"values" jsonschema_description:"Values files, lowest precedence first: relative to a hub's folder or, with a leading slash, to the root of the repository. {env} stands for the environment, {hub} for the hub. Each must exist, unless optional is true."`
	Secrets  []string          `json:"secrets,omitempty" jsonschema_description:"SOPS-encrypted values files, named like the values and applied after them. Each may be absent."`
	Optional bool              `json:"optional,omitempty" jsonschema_description:"Values files may be absent. A hub that has no file of its own for an environment, plain or encrypted, has no release there."`
}

type image struct {
	Context    string `json:"context" jsonschema_description:"Folder that the image is built from. With {hub}, each hub has its own image; otherwise they share one."`
	Dockerfile string `json:"dockerfile,omitempty" jsonschema_description:"Dockerfile, relative to the root of the repository. Default: Dockerfile in the context."`
	Values     string `json:"values" jsonschema_description:"Dotted path in the values that receives the name and tag, such as jupyterhub.singleuser.image."`
	Repository string `json:"repository,omitempty" jsonschema_description:"Path below the registry. Default: {hub}/NAME if each hub has its own image, NAME for a shared one."`
}

type environment struct {
	Branch    string `json:"branch,omitempty" jsonschema_description:"Branch that drives the environment. Default: the environment's name."`
	Cluster   string `json:"cluster" jsonschema_description:"Name of the cluster of the environment's releases, as registered with the installation (hubship cluster list). With {hub} in it, each hub has its own cluster."`
	Namespace string `json:"namespace,omitempty" jsonschema_description:"Namespace of a hub's release. Default: {hub}-{env}."`
	Release   string `json:"release,omitempty" jsonschema_description:"Name of a hub's Helm release. Default: {hub}-{env}."`
	Host      string `json:"host,omitempty" jsonschema_description:"Name under which hubship's HTTP port serves the hub. Default: {hub}.localhost in the last environment, {hub}-{env}.localhost in the others."`
	After     string `json:"after,omitempty" jsonschema_description:"Environment that must have verified a change before it is deployed here."`
	Push      bool   `json:"push,omitempty" jsonschema_description:"The branch may be pushed to directly, without a pull request. Default: false."`
}

type verify struct {
	Service string `json:"service,omitempty" jsonschema_description:"JupyterHub service whose token verification uses. Default: hubship."`
	User    string `json:"user,omitempty" jsonschema_description:"User that verification creates and removes. Default: hubship-verify."`
}

// check is one of the repository's own tests: a model.Test.
type check struct {
	Name    string   `json:"name" jsonschema_description:"What it is called on pull requests. No two checks share a name."`
	Image   string   `json:"image" jsonschema_description:"Image that it runs in, such as docker.io/library/python:3.12-slim."`
	Command command  `json:"command" jsonschema_description:"What to run, at the root of the repository: a string for sh -c, or a list with a program and its arguments. Exit code 0 passes."`
	Paths   []string `json:"paths,omitempty" jsonschema_description:"Patterns of the files that it sees, relative to the root of the repository; ** matches any number of folders. It runs when one of these files changes, and sees no others. Default: all."`
	Timeout string   `json:"timeout,omitempty" jsonschema_description:"How long it may take, 1s to 1h, such as 90s or 15m. Default: 10m."`
}

// command is a program and its arguments, or a text for sh -c.
type command []string

type review struct {
	Approvals int `json:"approvals,omitempty" jsonschema:"minimum=0,maximum=6" jsonschema_description:"Approvals needed from people other than the author, 0 to 6. 0 is for a team of one. Default: 1."`
}
