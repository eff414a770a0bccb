// Command bench measures the product against a baseline or a peer in the same run.
package main

func main() {}
