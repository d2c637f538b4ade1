/*
 * The probe guest: reads a line from COM1, executes it, answers with a line. 32-bit code, no firmware, no interrupts.
 *
 *   c LEAF [SUBLEAF]    c EAX EBX ECX EDX      CPUID
 *   r INDEX             r HI LO   or r #gp     RDMSR
 *   w INDEX HI LO       w         or w #gp     WRMSR
 *   q                   q                      powers QEMU off, then halts for good
 *   anything else       the greeting once more
 *
 * Numbers are hexadecimal, 32 bits; CR or LF ends a line. #UD is answered as `#ud`.
 *
 * One image of 512 bytes boots in two ways, and runs at 7C00H in both: as a boot sector, from real mode, and as a multiboot
 * kernel (Multiboot specification 0.6.96, section 3.1, with the address fields). EDI may hold a small number when the
 * multiboot entry is called: processors that share the image each need a stack of their own.
 */
        .intel_syntax noprefix
        .set    HOME, 0x7c00
        .set    IDT, 0x8000
        .set    STACKS, 0x10000                 # 16 stacks of 1 KiB end here
        .set    COM1, 0x3f8

        .text
start:
        .code16
        cli
        xor     ax, ax
        mov     ds, ax
        lgdt    [HOME + gdt - start]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        ljmp    8, HOME + entry - start

        .balign 4
multiboot:
        .set    FLAGS, 1 << 16                  # the address fields are valid
        .long   0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
        .long   HOME + multiboot - start        # header_addr
        .long   HOME                            # load_addr
        .long   HOME + 512                      # load_end_addr
        .long   STACKS                          # bss_end_addr
        .long   HOME + entry - start            # entry_addr

        .code32
entry:
        lgdt    [HOME + gdt - start]
        mov     eax, 16
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        and     edi, 15
        shl     edi, 10
        mov     ebp, STACKS
        sub     ebp, edi
        mov     esp, ebp
        cld
        mov     edi, IDT + 6 * 8
        mov     eax, (8 << 16) + HOME + undefined - start
        stosd
        mov     eax, 0x8e00                     # a present interrupt gate
        stosd
        add     edi, 6 * 8                      # from gate 6, #UD, to gate 13, #GP
        mov     eax, (8 << 16) + HOME + protection - start
        stosd
        mov     eax, 0x8e00
        stosd
        lidt    [HOME + idtr - start]
        mov     edx, COM1 + 3
        mov     al, 3
        out     dx, al                          # 8N1
        inc     edx
        out     dx, al                          # DTR, RTS
        mov     dl, (COM1 & 0xff) + 2
        mov     al, 7
        out     dx, al                          # FIFOs on and empty
        mov     dl, COM1 & 0xff
        in      al, dx                          # QEMU's UART listens again after a read, not after an emptied FIFO

greet:  mov     edi, HOME + put - start         # edi is put wherever there is output
        mov     esi, HOME + greeting - start
        push    greeting_end - greeting
        pop     ecx
text:   lodsb                                   # ecx characters at esi
        call    edi
        loop    text
newline:
        mov     al, '\r'
        call    edi
        mov     al, '\n'
        call    edi

line:   mov     esp, ebp                        # an exception left its frame behind
        xor     eax, eax
        push    eax
        push    eax
        push    eax                             # three numbers
        call    get
        cmp     al, ' '
        jbe     line                            # an empty line, or the second half of CR LF
        mov     bh, al                          # the command
        mov     edi, esp                        # just behind the number that is being read
number: call    get
        cmp     al, ' '
        jb      execute
        je      next
        cmp     edi, esp                        # a digit before the first space
        je      bad
        sub     al, '0'
        cmp     al, 10
        jb      1f
        or      al, 0x20                        # '0' has this bit too: letters of both cases meet here
        sub     al, 'a' - '0'
        cmp     al, 6
        jae     bad
        add     al, 10
1:      movzx   eax, al
        shl     dword ptr [edi - 4], 4
        or      [edi - 4], eax
        jmp     number
next:   add     edi, 4
        cmp     edi, ebp
        jbe     number
bad:    call    get                             # skip the rest of a line that makes no sense
        cmp     al, ' '
        jae     bad
        jmp     greet

execute:
        mov     edi, HOME + put - start
        mov     al, bh
        cmp     al, 'q'
        je      quit
        cmp     al, 'c'
        je      do_cpuid
        cmp     al, 'r'
        je      do_rdmsr
        cmp     al, 'w'
        jne     greet
        call    edi
        pop     ecx
        pop     edx
        pop     eax
        wrmsr
        jmp     newline

do_rdmsr:
        call    edi
        pop     ecx
        rdmsr
        push    eax
        push    edx
        mov     bl, 2
        jmp     numbers_out

do_cpuid:
        call    edi
        pop     eax
        pop     ecx
        cpuid
        push    edx
        push    ecx
        push    ebx
        push    eax
        mov     bl, 4
numbers_out:                                    # bl numbers from the stack, each a space and eight digits
        pop     esi
        mov     al, ' '
        call    edi
        push    8
        pop     ecx
1:      rol     esi, 4
        mov     eax, esi
        and     al, 15
        cmp     al, 10
        sbb     al, 0x69
        das                                     # 0-9, A-F
        or      al, 0x20
        call    edi
        loop    1b
        dec     bl
        jnz     numbers_out
        jmp     newline

quit:   call    edi
        mov     al, '\n'
        call    edi
        mov     dx, 0x604                       # QEMU's ACPI PM1a control: soft off
        mov     ax, 0x2000
        out     dx, ax
1:      hlt
        jmp     1b

undefined:
        mov     esi, HOME + ud_text - start
        jmp     1f
protection:
        mov     esi, HOME + gp_text - start
1:      push    4
        pop     ecx
        jmp     text

get:    mov     dx, COM1 + 5
1:      in      al, dx
        test    al, 1                           # data ready
        jz      1b
        mov     dl, COM1 & 0xff
        in      al, dx
        ret

put:    mov     ah, al
        mov     dx, COM1 + 5
1:      in      al, dx
        test    al, 0x20                        # transmitter empty
        jz      1b
        mov     al, ah
        mov     dl, COM1 & 0xff
        out     dx, al
        ret

gp_text:
        .ascii  " #gp"
ud_text:
        .ascii  " #ud"
greeting:
        .ascii  "commonhv probe 1"
greeting_end:

idtr:   .word   14 * 8 - 1
        .long   IDT
gdt:    .word   gdt_end - gdt - 1               # no processor reads the null descriptor: its place holds the
        .long   HOME + gdt - start              # pseudo-descriptor of this table
        .word   0
        .quad   0x00cf9a000000ffff              # 8: code, flat
        .quad   0x00cf92000000ffff              # 16: data, flat
gdt_end:
        .org    510
        .word   0xaa55
