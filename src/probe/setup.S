/*
 * The head of the probe as a Linux bzImage (Documentation/arch/x86/boot.rst): boot sector and one sector of setup code; the
 * image follows, as the kernel proper. Three ways in: this real-mode code, as kvmtool and boot loaders do; the kernel's 32-bit
 * entry at its first byte, where a jump to `pvh` of head.S is put; its 64-bit entry at offset 200H, `enter64` of head.S.
 */
        .intel_syntax noprefix
        .set    SIZE, 2048                      # of the image
        .set    LOADED, 0x100000
        .set    CODE32, 8
        .text
        .code16
start:  .org    start + 0x1f1
        .byte   1                               # setup_sects, beside the boot sector
        .word   0
        .long   SIZE / 16                       # syssize
        .word   0, 0, 0
        .word   0xaa55
        .org    start + 0x200
        jmp     short setup
        .ascii  "HdrS"
        .word   0x020c                          # version 2.12, which has xloadflags
        .long   0
        .word   0, version - start - 0x200
        .byte   0, 1                            # loadflags: loaded at 1 MiB
        .word   0
        .long   LOADED                          # code32_start
        .org    start + 0x22c
        .long   0x7fffffff                      # initrd_addr_max
        .long   0x1000                          # kernel_alignment
        .byte   0, 12                           # not relocatable, which is true of the loaders that ask
        .word   1                               # xloadflags: a 64-bit entry
        .long   255                             # cmdline_size
        .org    start + 0x258
        .quad   LOADED                          # pref_address
        .long   0x1000                          # init_size
        .long   0                               # handover_offset: no EFI stub
setup:  cli                                     # DS is the segment of `start`, CS that or 20H more
        cld
        xor     eax, eax
        mov     ax, ds
        shl     eax, 4
        add     eax, offset gdt - start
        mov     [gdt - start + 2], eax
        lgdt    [gdt - start]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        mov     ax, 16
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        data32 ljmp CODE32, LOADED
        .balign 8
gdt:    .word   23                              # no processor reads the null descriptor: the table's own address is there
        .long   0
        .word   0
        .quad   0x00cf9a000000ffff              # 8: code, flat
        .quad   0x00cf92000000ffff              # 16: data, flat
version:
        .asciz  "commonhv probe"
        .org    start + 1024
