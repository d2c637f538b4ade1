/*
 * The head of the probe as a UEFI application: the headers of a PE32+ file with one section (Microsoft PE format, "Optional
 * Header"), and its first 512 bytes, in which the firmware enters. The image follows and does the rest: `enter64` of head.S.
 */
        .intel_syntax noprefix
        .set    SIZE, 2048                      # of the image
        .set    FILE, 512                       # alignment in the file, and the length of the headers
        .set    VIRTUAL, 0x1000                 # alignment in memory, and the address of the section
        .text
start:  .ascii  "MZ"
        .org    start + 0x3c
        .long   pe - start
pe:     .ascii  "PE\0\0"
        .word   0x8664, 1                       # x86-64, one section
        .long   0, 0, 0
        .word   sections - optional
        .word   0x0022                          # executable, may lie above 2 GiB
optional:
        .word   0x20b, 0                        # PE32+
        .long   FILE + SIZE, 0, 0               # code, data, and data without a place in the file
        .long   VIRTUAL                         # AddressOfEntryPoint: the section's first byte
        .long   VIRTUAL                         # BaseOfCode
        .quad   0                               # ImageBase: anywhere, nothing is to be relocated
        .long   VIRTUAL, FILE
        .word   0, 0, 0, 0, 0, 0
        .long   0
        .long   2 * VIRTUAL                     # SizeOfImage
        .long   FILE                            # SizeOfHeaders
        .long   0
        .word   10, 0                           # EFI application
        .quad   0, 0, 0, 0
        .long   0, 16                           # data directories, all empty
        .fill   16, 8, 0
sections:
        .ascii  ".text\0\0\0"
        .long   FILE + SIZE, VIRTUAL            # in memory
        .long   FILE + SIZE, FILE               # in the file
        .long   0, 0
        .long   0
        .long   0xe0000020                      # code; may be executed, read, written
        .org    start + FILE

/*
 * The firmware may keep free memory from being executed or its page tables from being written: the first is undone for the pages
 * that the image goes to, 7000H to 9FFFH, the second for as long as this takes. No service of the firmware is used any more.
 */
        .code64
efi:    cli
        mov     rax, cr0
        btr     eax, 16                         # WP
        mov     cr0, rax
        mov     rax, cr4
        mov     ecx, 4                          # levels of page tables
        bt      eax, 12                         # LA57
        adc     ecx, 0
        mov     rdx, cr3
1:      and     rdx, ~0xfff
        btr     rdx, 63
        dec     ecx
        jz      2f
        btr     qword ptr [rdx], 63             # the entry of the first pages, at each level
        bts     qword ptr [rdx], 1
        mov     rdx, [rdx]
        test    dl, 0x80                        # a large page
        jz      1b
        jmp     4f
2:      lea     rdx, [rdx + 7 * 8]
        mov     ecx, 3
3:      btr     qword ptr [rdx], 63
        bts     qword ptr [rdx], 1
        add     rdx, 8
        loop    3b
4:      mov     rax, cr3
        mov     cr3, rax
        jmp     efi + FILE + 0x200              # enter64
        .org    start + 2 * FILE
