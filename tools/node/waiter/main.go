// What runs in the pods of tests and the demo, and as their sandbox: waits for SIGTERM, or ends with the code it is given.
// `waiter stop` ends the container that it is called in; `waiter show FILE` prints a file, for images have no shell.
package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	words := os.Args[1:]
	switch {
	case len(words) == 2 && words[0] == "exit":
		code, err := strconv.Atoi(words[1])
		if err != nil {
			panic(err)
		}
		os.Exit(code)
	case len(words) == 1 && words[0] == "stop":
		if err := syscall.Kill(1, syscall.SIGTERM); err != nil {
			panic(err)
		}
	case len(words) == 2 && words[0] == "show":
		text, err := os.ReadFile(words[1])
		if err != nil {
			panic(err)
		}
		os.Stdout.Write(text)
	default:
		// The sandbox's process is the first in its namespace and inherits who is orphaned there.
		signal.Ignore(syscall.SIGCHLD)
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
		<-ended
	}
}
