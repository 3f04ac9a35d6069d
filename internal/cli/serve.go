package cli

import (
	"context"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/app"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/proc"
)

func (a *command) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the server in the foreground",
		Long: `Serve runs hubship's server until it is interrupted; ` + "`hubship up`" + ` starts it in
the background. Its log goes to standard error. Runs in progress when it ends
resume where they were when it starts again. It starts the embedded forge, which
keeps running when the server ends, until ` + "`hubship down`.",
		Example: `  hubship serve --data /var/lib/hubship`,
		Args:    args(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context()) },
	}
}

// serve runs the server and keeps a record of its process, by which `up` and
// `down` find it.
func (a *command) serve(ctx context.Context) error {
	s, err := install.Load(a.data)
	if err != nil {
		return err
	}
	self, err := proc.Self(Version)
	if err != nil {
		return err
	}
	file := install.At(a.data).ServerPID
	// Another server that runs keeps its record; which of the two serves is
	// for the lock to say.
	if _, running := proc.Read(file); !running {
		if err := self.Write(file); err != nil {
			return err
		}
	}
	defer func() {
		if rec, ok := proc.Read(file); ok && rec.PID == self.PID {
			_ = os.Remove(file)
		}
	}()
	log := slog.New(slog.NewTextHandler(a.streams.Err, nil))
	return app.Serve(ctx, a.data, s, app.Options{Version: Version, Logger: log, Ready: func() {
		if err := self.Write(file); err != nil {
			log.Warn("keep the server's process record", "error", err)
		}
	}})
}
