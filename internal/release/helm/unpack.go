package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"path"
	"strings"

	"helm.sh/helm/v4/pkg/chart/loader/archive"

	"github.com/hubship/hubship/internal/model"
)

// maxDescription bounds the YAML that a chart is described by, in bytes: what
// is read of it takes a hundred times as much.
const maxDescription = 4 << 20

// unpacking bounds what a chart's archives come to. The SDK bounds each by
// itself, and unpacks those within it, of which there may be thousands, or
// which hold themselves.
type unpacking struct{ left int64 }

func newUnpacking() *unpacking { return &unpacking{left: archive.MaxDecompressedChartSize} }

// archive looks into an archive, and into those in its folders charts/. What
// cannot be read is left to the SDK, which says what is wrong with it.
func (u *unpacking) archive(data []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("chart archives are nested more than %d levels deep", maxDepth)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil //nolint:nilerr // as said above
	}
	files := tar.NewReader(io.LimitReader(unzipped, 2*archive.MaxDecompressedChartSize))
	for {
		header, err := files.Next()
		if err != nil {
			return nil //nolint:nilerr // the end, or what the SDK refuses too
		}
		name := strings.ReplaceAll(header.Name, `\`, "/")
		if err := u.file(name, header.Size); err != nil {
			return err
		}
		if !nested(name) {
			continue
		}
		inner, err := io.ReadAll(files)
		if err != nil {
			return nil //nolint:nilerr // as said above
		}
		if err := u.archive(inner, depth+1); err != nil {
			return fmt.Errorf("%s: %w", path.Base(name), err)
		}
	}
}

// file counts a file.
func (u *unpacking) file(name string, size int64) error {
	switch base := path.Base(name); base {
	case "Chart.yaml", "Chart.lock", "requirements.yaml", "requirements.lock", "values.yaml":
		if size > maxDescription {
			return fmt.Errorf("%s has %d bytes; the limit is %d", base, size, maxDescription)
		}
	}
	if u.left -= size; u.left < 0 {
		return model.WithHint(fmt.Errorf("the chart's archives contain more than %d MiB in all", archive.MaxDecompressedChartSize>>20), "remove what the chart does not need")
	}
	return nil
}

// nested says that the SDK would unpack a file of a chart.
func nested(name string) bool {
	return strings.HasSuffix(name, ".tgz") && strings.Contains("/"+name, "/charts/")
}
