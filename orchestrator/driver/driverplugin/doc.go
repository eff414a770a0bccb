// Package driverplugin is the kit for driver plugins: a driver (what a node agent, R4 of the SPEC-RG
// reference architecture, starts instances with) that lives in a process and a repository of its own.
// It stands on hashicorp/go-plugin, of which neither side sees anything.
//
// # The author's side
//
// A plugin is a program of one call, around any driver.Driver:
//
//	func main() {
//		driverplugin.Serve(func(ctx context.Context, log *slog.Logger) (driver.Driver, error) {
//			return mydriver.New(log)
//		})
//	}
//
// The directory template is a whole one to copy; the README of orchestrator/driver leads from
// nothing to a driver that passes the conformance kit. In another language: driverpb/driver.proto.
//
// # The platform's side
//
//	p, err := driverplugin.Open(ctx, "/usr/lib/joinery/faas-driver-docker", &driverplugin.Options{
//		Env:    []string{"PATH=/usr/bin:/bin", "HOME=/var/lib/joinery"},
//		SHA256: "3b1f…",
//	})
//	// p is a driver.Driver
//
// # What crosses the wire
//
// All of the contract: every field, every optional power, every error with its class and its
// details, so that errors.Is holds. Two things do not. The contract faas.ContractHandler, whose
// instances are Go values: it is taken out of Info.Contracts, and a driver that offers
// nothing else cannot be a plugin (memdriver also offers http and http-socket). And labels that are not UTF-8, which
// are refused. Calls of instances never cross it: the plugin names an endpoint, and
// whoever calls goes there.
//
// # Supervision
//
// A plugin is cattle. Every call has a deadline, a ping goes out four times a second; a process that
// dies, or gives no sign of life for 3.5 seconds, is killed with its process group and replaced after a pause
// of 0.1 s that doubles up to 30 s while replacing it does not help. After five deaths in a minute the circuit
// opens: calls fail at once, and one attempt is made every 30 s. Instances serve on meanwhile,
// and the new process adopts them by the handles that Plugin keeps (driver.Recoverer). What it finds beyond
// those is removed. See Plugin for what callers notice.
//
// When the platform dies, the plugin sees the end of its standard input: it stops its
// tasks and ends, or with Options.KeepInstances ends at once. For a platform that wants to find its
// tasks again: KeepInstances, Plugin.Handle after each Start, the handles in a store, and
// Plugin.Recover with them and the same owner before the first Start of the next life. That is
// driver.Recoverer as any driver has it.
//
// # Trust
//
// A plugin runs with the rights of the platform; the boundary is against faults. Still: the file is opened
// once, checked and executed by that descriptor. Neither it nor a directory above it may be writable by everybody,
// it is no symbolic link, and Options.SHA256 pins it. Nothing of the environment is
// inherited. Both sides prove themselves to each other by certificates made for the one process (mTLS). No
// message is larger than 4 MiB, and no answer is believed before it is checked.
//
// # Versions
//
// The way to start a plugin and to negotiate is frozen. Each side tells which versions of the API it speaks; without
// a common one Open fails with a VersionError that says which side to upgrade. A power that is added is a
// field of driver.Info and no new version.
//
// # Errors
//
// The classes of package faas, those of the driver as it made them. A plugin that is gone is ErrUnavailable, with
// RetryAfter; one that breaks the protocol ErrInternal, with its name and the field.
//
// # Concurrency
//
// Everything is safe for concurrent use. A Plugin has about a dozen goroutines and one thread that waits for
// the process.
package driverplugin
