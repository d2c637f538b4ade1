// recipe math|crypto|fixed: a value of one of Go's generators for each line of standard input.
package main

import (
	"bufio"
	crypto "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
)

// A u32, another one after each reseed of the kernel.
const generation = "/run/commonhv/generation"

func seeded() *rand.Rand {
	var seed [8]byte
	if _, err := crypto.Read(seed[:]); err != nil {
		panic(err)
	}
	return rand.New(rand.NewSource(int64(binary.LittleEndian.Uint64(seed[:]))))
}

func main() {
	own := seeded()
	seen, _ := os.ReadFile(generation)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch os.Args[1] {
		case "crypto":
			var bytes [8]byte
			crypto.Read(bytes[:])
			fmt.Printf("%x\n", bytes)
		case "fixed": // the recipe
			if now, err := os.ReadFile(generation); err == nil && string(now) != string(seen) {
				own, seen = seeded(), now
			}
			fallthrough
		default:
			fmt.Printf("%016x\n", own.Uint64())
		}
	}
}
