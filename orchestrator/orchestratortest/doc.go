// Package orchestratortest holds the conformance kits of package orchestrator: one
// named subtest for each promise of its interfaces. Every implementation, ours or
// anyone's, runs the kit of what it implements:
//
//	func TestConformance(t *testing.T) {
//		orchestratortest.RunNaming(t, orchestratortest.NamingHarness{
//			Open: func(tb testing.TB) orchestrator.NamingService { return memnaming.New(nil) },
//		})
//	}
//
// It imports nothing but the standard library and the contracts. Subtest names are part of
// its interface: they are the keys of each harness's Skip.
package orchestratortest
