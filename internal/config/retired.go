package config

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// retired says that a key stood in hubship.yaml once and is the installation's
// to say now: a repository never says how to reach anything.
func retired(key string) bool { return key == "clusters" || key == "registry" }

// retired says what to do in place of a key.
func (d *decoder) retired(key, value *yaml.Node) {
	if key.Value == "registry" {
		d.problem(key, key.Value, "the installation, not the repository, says where images are pushed",
			"remove the line; use `hubship up --registry HOST/PATH`")
		return
	}
	var commands []string
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	for i := 0; value.Kind == yaml.MappingNode && i+1 < len(value.Content) && len(commands) < maxShown; i += 2 {
		var old struct {
			Embedded            bool
			Kubeconfig, Context string
		}
		if value.Content[i+1].Decode(&old) != nil || old.Embedded {
			continue // `hubship up` registers the embedded node by itself
		}
		commands = append(commands, "`hubship cluster add "+word(value.Content[i].Value, "NAME")+
			" --kubeconfig "+word(old.Kubeconfig, "FILE")+" --context "+word(old.Context, "CONTEXT")+"`")
	}
	hint := "remove the section; `hubship up` registers the embedded node as local"
	if len(commands) > 0 {
		hint = "remove the section, and run on the server: " + strings.Join(commands, ", ")
	}
	d.problem(key, key.Value, "the installation, not the repository, says how clusters are reached", hint)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./~_-]{1,200}$`)

// word is a text as one word of a shell, if it is one without quotes.
func word(text, fallback string) string {
	if plainWord.MatchString(text) && !strings.HasPrefix(text, "-") {
		return text
	}
	return fallback
}
