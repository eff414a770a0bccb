// Package workflow is where the workflow composition layer of the SPEC-RG
// reference architecture belongs: W1 workflow registry, W2 workflow engine, W3
// workflow scheduler, W4 workflow execution storage. It needs nothing of a platform but a
// faas.Invoker. Nothing of it is here yet.
package workflow
