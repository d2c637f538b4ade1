// A value of Go's math/rand for each line of standard input: a source that is seeded once, from the kernel.
package main

import (
	"bufio"
	crypto "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
)

func main() {
	var seed int64
	if err := binary.Read(crypto.Reader, binary.LittleEndian, &seed); err != nil {
		panic(err)
	}
	source := rand.New(rand.NewSource(seed))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Printf("%016x\n", source.Uint64())
	}
}
