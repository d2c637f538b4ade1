/*
 * The first sector of the probe's image: each way of loading finds its own header in the same 512 bytes.
 *
 *   multiboot   header with the address fields: the image goes to 7C00H, and is entered at `entry`
 *   PVH         an ELF64 file with one segment at 1 MiB and Xen's note: entered at `pvh`, in 32-bit mode
 *   ELF64       the same file's entry point, of VMMs that boot Linux in 64-bit mode: `enter64`
 *   BIOS        the boot sector of a disk or CD, at 7C00H in real mode: its first instructions are the ELF header
 *
 * Each of them ends at `entry` with the whole image at 7C00H, where it was linked.
 */

/* ELF64 header. In real mode its first bytes are jg, dec, inc and two adds, and lead to `boot` whatever the flags are. */
start:
        .byte   0x7f, 'E', 'L', 'F'             # 7F 45 is jg to offset 47H
        .byte   2, 1, 1                         # 64 bits, little-endian, version 1
        .byte   0xff                            # OSABI: 01 FF adds a register to itself, where 01 00 would write memory
        .code16
        jmp     boot
        .org    start + 16
        .word   2, 62                           # an executable, x86-64
        .long   1
        .quad   LOADED + enter64 - start        # e_entry
        .quad   segments - start                # e_phoff
        .quad   0                               # e_shoff: no sections, of which Xen would read the strings
        .long   0
        .word   64, 56, 2, 0, 0, 0              # sizes and numbers of headers: two segments, no section

        .org    start + 0x47
        jmp     boot                            # from the jg

        .org    start + 0x50
segments:
        .long   1, 7                            # PT_LOAD: the image, to 1 MiB, where every loader puts kernels
        .quad   0, LOADED, LOADED, SIZE, SIZE, 0x1000
        .long   4, 4                            # PT_NOTE
        .quad   note - start, LOADED + note - start, LOADED + note - start, note_end - note, note_end - note, 4
note:   .long   4, 4, 18                        # XEN_ELFNOTE_PHYS32_ENTRY (xen/include/public/elfnote.h)
        .asciz  "Xen"
        .long   LOADED + pvh - start
note_end:

        .balign 4
multiboot:                                      # Multiboot specification 0.6.96, section 3.1
        .set    FLAGS, 1 << 16                  # the address fields are valid
        .long   0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
        .long   multiboot                       # header_addr
        .long   start                           # load_addr
        .long   start + SIZE                    # load_end_addr
        .long   AREAS_END                       # bss_end_addr
        .long   entry                           # entry_addr

/* BIOS. A CD's boot catalogue had all of the image loaded; of a disk only this sector is here. */
boot:   xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, offset start
        cld
        mov     bp, 5                           # tries: floppies need some
1:      cmp     dword ptr [tail], TAIL
        je      loaded
        mov     ax, 0x0200 + SIZE / 512 - 1     # INT 13H, AH 2: read sectors
        mov     bx, offset start + 512
        mov     cx, 2                           # from the second one of track 0
        mov     dh, 0                           # head 0 of drive DL
        int     0x13
        dec     bp
        jnz     1b
        int     0x18                            # no boot: the next device's turn
loaded: cli
        lgdt    [gdtr]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        xor     edi, edi                        # processor 0
        ljmp    CODE32, offset entry

/* PVH, and the 32-bit entry of a bzImage: flat segments, no paging. Copies the image to its place. */
        .code32
pvh:    cld
        mov     esp, offset start
        call    1f
1:      pop     esi
        sub     esi, offset 1b - start
        mov     edi, offset start
        mov     ecx, SIZE / 4
        rep movsd
        xor     edi, edi
        mov     eax, offset entry
        jmp     eax

        .org    start + 510
        .word   0xaa55

/* At offset 200H, where a bzImage has its 64-bit entry: 64-bit mode, identity-mapped. Copies the image, and leaves the mode. */
        .code64
enter64:
        cli
        cld
        lea     rsi, [rip + start]
        mov     edi, offset start
        mov     ecx, SIZE / 4
        rep movsd
        mov     eax, offset 1f
        jmp     rax
1:      lgdt    [rip + gdtr]
        .byte   0xff, 0x2c, 0x25                # ljmp through memory
        .long   far_leave
        .code32
leave64:
        mov     eax, cr0
        and     eax, 0x7fffffff                 # paging off: 32-bit mode, until `entry` has tables of its own
        mov     cr0, eax
        mov     word ptr [bits], '6' | '4' << 8
        xor     edi, edi
        jmp     entry
