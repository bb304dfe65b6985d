// linkit-backend is a small commerce backend on PocketBase, as Linkit's documents describe it.
//
// It is the test object of linkit-bridge, and the example for operators of what a Go backend should expose.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/cmd"
	"github.com/pocketbase/pocketbase/core"
	"github.com/spf13/cobra"
)

const version = "1.0.0"

func main() {
	if run(newApp()) != nil {
		os.Exit(1)
	}
}

func newApp() *pocketbase.PocketBase {
	app := pocketbase.NewWithConfig(pocketbase.Config{DefaultDataDir: "pb_data"})

	root := app.RootCmd
	root.Use = "linkit-backend"
	root.Short = "A commerce backend on PocketBase: the test object of linkit-bridge"
	root.Version = version
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return app.Bootstrap() }
	root.AddCommand(newServeCommand(app), newSeedCommand(app), cmd.NewSuperuserCommand(app))

	return app
}

// run is PocketBase's own Execute, but keeps the command's error: there, a busy port ends with exit code 0.
func run(app *pocketbase.PocketBase) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var failure error
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		failure = app.RootCmd.ExecuteContext(ctx) // prints its error itself
	}()

	select {
	case <-finished:
	case <-ctx.Done():
	}

	err := app.OnTerminate().Trigger(&core.TerminateEvent{App: app}, func(e *core.TerminateEvent) error {
		return e.App.ResetBootstrapState()
	})
	<-finished
	return errors.Join(failure, err)
}
