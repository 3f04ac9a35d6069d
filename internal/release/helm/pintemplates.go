package helm

import (
	"regexp"
	"slices"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// pinTemplates writes the digests of images into templates that name them
// outright (image: docker.io/library/x:3), where no value reaches. The chart is
// the caller's own copy; its templates, which others share, are replaced.
func pinTemplates(ch *chart.Chart, resolved []model.ResolvedImage) {
	for _, known := range resolved {
		if release.Pinned(known.Ref) || known.Digest == "" {
			continue
		}
		written := regexp.MustCompile(`(?m)((?:^|[\s{,"'-])(?:image|reference)["']?:\s*["']?` + regexp.QuoteMeta(known.Ref) + `)(["'\s},]|$)`)
		pinInto(ch, written, []byte("${1}@"+known.Digest+"${2}"))
	}
}

func pinInto(ch *chart.Chart, written *regexp.Regexp, text []byte) {
	ch.Templates = slices.Clone(ch.Templates)
	for i, f := range ch.Templates {
		if f != nil && written.Match(f.Data) {
			ch.Templates[i] = &common.File{Name: f.Name, ModTime: f.ModTime, Data: written.ReplaceAll(f.Data, text)}
		}
	}
	for _, sub := range ch.Dependencies() {
		pinInto(sub, written, text)
	}
}
