// The kubelet's own answer to "does this pattern speak of this image": reads lines of pattern, tab and image, and answers
// each with a line: 1, 0, or ! for what it cannot read.
package main

import (
	"bufio"
	"os"
	"strings"

	"k8s.io/kubernetes/pkg/credentialprovider"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		pattern, image, _ := strings.Cut(in.Text(), "\t")
		matches, err := credentialprovider.URLsMatchStr(pattern, image)
		switch {
		case err != nil:
			out.WriteString("!\n")
		case matches:
			out.WriteString("1\n")
		default:
			out.WriteString("0\n")
		}
	}
	if err := in.Err(); err != nil {
		panic(err)
	}
}
