// SPDX-License-Identifier: MIT
// A Go program: its own system calls on small stacks, preemption by signals, and a guest.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

func ioctl(fd, req, arg uintptr) (uintptr, syscall.Errno) {
	r, _, e := syscall.RawSyscall(syscall.SYS_IOCTL, fd, req, arg)
	return r, e
}

func kvm() {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		fmt.Println("kvm:", err)
		return
	}
	v, e := ioctl(f.Fd(), 0xae00, 0)
	fmt.Println("api", v, e)
	vm, e := ioctl(f.Fd(), 0xae01, 0)
	fmt.Println("vm", e)
	mem, _ := syscall.Mmap(-1, 0, 0x10000, 3, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	copy(mem[0x1000:], []byte{0xb8, 0, 0, 0x40, 0xe7, 0x10, 0x3d, 0xe8, 0x03, 0x75, 0xf8, 0xf4})
	r := struct {
		slot, flags     uint32
		gpa, size, addr uint64
	}{0, 0, 0, 0x10000, uint64(uintptr(unsafe.Pointer(&mem[0])))}
	_, e = ioctl(vm, 0x4020ae46, uintptr(unsafe.Pointer(&r)))
	fmt.Println("slot", e)
	cpu, e := ioctl(vm, 0xae41, 0)
	var sregs [312]byte
	ioctl(cpu, 0x8138ae83, uintptr(unsafe.Pointer(&sregs)))
	for i := 0; i < 8; i++ {
		sregs[i] = 0
	}
	sregs[12], sregs[13] = 0, 0
	_, e = ioctl(cpu, 0x4138ae84, uintptr(unsafe.Pointer(&sregs)))
	fmt.Println("sregs", e)
	var regs [18]uint64
	regs[16], regs[17] = 0x1000, 2
	ioctl(cpu, 0x4090ae82, uintptr(unsafe.Pointer(&regs)))
	run, err := syscall.Mmap(int(cpu), 0, 0x3000, 3, syscall.MAP_SHARED)
	n := 0
	for {
		_, e = ioctl(cpu, 0xae80, 0)
		if e == syscall.EINTR {
			continue
		}
		reason := *(*uint32)(unsafe.Pointer(&run[8]))
		if reason != 2 {
			fmt.Println("exits", n, "reason", reason, e)
			return
		}
		n++
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		fmt.Print("child ", os.Args[1:], " ", os.Getenv("X"))
		os.Exit(7)
	}
	var wg sync.WaitGroup
	sums := make([][32]byte, 64)
	for i := range sums {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			var junk [][]byte
			for j := 0; j < 200; j++ {
				junk = append(junk, make([]byte, 10000))
				runtime.Gosched()
			}
			sums[i] = sha256.Sum256(bytes.Join(junk, nil))
			if i%8 == 0 {
				runtime.LockOSThread()
				time.Sleep(time.Millisecond)
			}
		}(i)
	}
	wg.Wait()
	fmt.Printf("%x\n", sums[5][:4])
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("signal", <-c)
	func() {
		defer func() { fmt.Println("recovered", recover()) }()
		var p *int
		*p = 1
	}()
	debug.SetPanicOnFault(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		go func() { s, _ := l.Accept(); s.Write([]byte("over tcp")); s.Close() }()
		k, _ := net.Dial("tcp", l.Addr().String())
		b, _ := io.ReadAll(k)
		fmt.Println(string(b))
	}
	exe, _ := os.Executable()
	cmd := exec.Command(exe, "child", "a b")
	cmd.Env = append(os.Environ(), "X=y")
	out, err := cmd.CombinedOutput()
	fmt.Println(string(out), err)
	_, err = exec.Command("/nowhere").Output()
	fmt.Println(err)
	// busy goroutines are preempted by signals
	var sums2 [4]uint64
	var left sync.WaitGroup
	for i := range sums2 {
		left.Add(1)
		go func(i int) {
			defer left.Done()
			for n := uint64(1); n < 200000000; n++ {
				sums2[i] += n ^ sums2[i]>>3
			}
		}(i)
	}
	for i := 0; i < 5; i++ {
		time.Sleep(5 * time.Millisecond)
		runtime.GC()
	}
	left.Wait()
	fmt.Println(sums2[0] == sums2[3])
	if len(os.Args) > 1 {
		kvm()
	}
	fmt.Println("end")
}
