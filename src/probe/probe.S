/*
 * The probe guest: reads a line from COM1, executes it, answers with a line. No firmware, no interrupts.
 *
 *   c LEAF [SUBLEAF]    c EAX EBX ECX EDX      CPUID
 *   r INDEX             r HI LO                RDMSR
 *   w INDEX HI LO       w                      WRMSR
 *   q                   q                      powers QEMU off, then halts for good
 *   anything else       the greeting once more
 *
 * c, r and w execute 32-bit code at CPL 0; c3, r3 and w3 do it at CPL 3; C, R, W, C3, R3 and W3 in 64-bit code. An answer begins
 * as its question does. An exception is an answer too: `r #gp`. Numbers are hexadecimal, 32 bits; CR or LF ends a line.
 *
 * The greeting ends in "32-bit" where the image was entered in 32-bit or real mode: then there is no paging, and no 64-bit code.
 * It ends in "64-bit" where it was entered in 64-bit mode: the probe then runs in IA-32e mode, its 32-bit code in compatibility
 * mode (SDM volume 3, 2.2), and 2 MiB are mapped as they are.
 *
 * EDI may hold a small number when the multiboot entry is called: processors that share the image each need a stack, a task
 * state segment and a descriptor table of their own. `head.S` has the ways in.
 */
        .intel_syntax noprefix
        .set    SIZE, 2048                      # of the image
        .set    LOADED, 0x100000                # where ELF loaders put it
        .set    TAIL, 0x65707463                # its last four bytes
        .set    IDT, 0x9000                     # 32 gates
        .set    TABLES, 0xa000                  # three page tables
        .set    AREAS_END, 0x14000              # 16 areas of 1 KiB end here: each a TSS, a GDT and a stack
        .set    COM1, 0x3f8
        # Selectors. CPL 3 is 11 on, 64-bit code is 16 on.
        .set    CODE32, 8
        .set    DATA, 0x28
        .set    DATA3, 0x33
        .set    TSS, 0x38
        .set    BACK, 31                        # the vector that is no exception, and takes the result back

        .text
        .include "head.S"

entry:  lgdt    [gdtr]
        mov     eax, DATA
        mov     ss, eax
        mov     eax, DATA3                      # stays loaded when the code at CPL 3 is entered
        mov     ds, eax
        mov     es, eax
        cld
        and     edi, 15
        shl     edi, 10
        mov     ebp, AREAS_END                  # ebp: the top of this processor's area, for good
        sub     ebp, edi
        mov     esp, ebp
        lea     ebx, [ebp - 1024]               # its TSS
        lea     edi, [ebx + 128]                # its GDT
        push    edi
        push    (gdt_end - gdt - 1) << 16
        mov     esi, offset gdt
        mov     ecx, (gdt_end - gdt) / 4
        rep movsd
        lgdt    [esp + 2]
        mov     [ebx + 128 + TSS + 2], ebx      # base; its upper byte is zero, and gives way to the type
        mov     byte ptr [ebx + 128 + TSS + 5], 0x89
        lea     eax, [ebp - 64]
        mov     [ebx + 4], eax                  # ESP0, or the lower half of RSP0
        mov     dword ptr [ebx + 8], DATA       # SS0
        cmp     byte ptr [bits], '6'
        jne     gates

        mov     dword ptr [ebx + 8], 0          # the upper half of RSP0
        mov     edi, TABLES
        mov     ecx, 3 * 1024
        xor     eax, eax
        rep stosd
        mov     dword ptr [TABLES], TABLES + 0x1007
        mov     dword ptr [TABLES + 0x1000], TABLES + 0x2007
        mov     dword ptr [TABLES + 0x2000], 0x87 # present, writable, for CPL 3 too, 2 MiB
        mov     eax, TABLES
        mov     cr3, eax
        mov     eax, 1 << 5                     # PAE
        mov     cr4, eax
        mov     ecx, 0xc0000080                 # IA32_EFER
        rdmsr
        or      ah, 1                           # LME
        wrmsr
        mov     eax, cr0
        or      eax, 1 << 31                    # PG
        mov     cr0, eax

/* The 32 gates, 8 bytes each, or 16 in IA-32e mode, where they lead to 64-bit code. */
gates:  mov     edi, IDT
        mov     ecx, 32
        mov     eax, offset exceptions + (CODE32 << 16)
1:      mov     edx, eax
        cmp     byte ptr [bits], '6'
        jne     2f
        add     edx, 16 << 16
2:      xchg    eax, edx
        stosd
        mov     eax, 0xee00                     # a present interrupt gate that CPL 3 may call
        stosd
        cmp     byte ptr [bits], '6'
        jne     3f
        xor     eax, eax
        stosd
        stosd
3:      lea     eax, [edx + 4]
        loop    1b
        lidt    [idtr]
        mov     eax, TSS
        ltr     ax

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

greet:  mov     edi, offset put                 # edi is put wherever there is output
        mov     esi, offset greeting
        push    greeting_end - greeting
        pop     ecx
text:   lodsb                                   # ecx characters at esi
        call    edi
        loop    text
newline:
        mov     edi, offset put
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
        mov     bl, 0                           # its digit
        mov     edi, esp                        # just behind the number that is being read
number: call    get
        cmp     al, ' '
        jb      execute
        je      next
        cmp     edi, esp
        je      digit                           # before the first space
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
digit:  mov     bl, al
        cmp     al, '3'
        je      number
        jmp     bad

execute:
        mov     edi, offset put
        mov     al, bh
        or      al, 0x20
        cmp     al, 'q'
        je      quit
        mov     esi, offset do_cpuid
        cmp     al, 'c'
        je      1f
        mov     esi, offset do_rdmsr
        cmp     al, 'r'
        je      1f
        mov     esi, offset do_wrmsr
        cmp     al, 'w'
        jne     greet
1:      test    bh, 0x20
        jnz     2f
        cmp     byte ptr [bits], '6'            # an upper-case letter
        jne     greet
2:      mov     al, bh
        call    edi
        mov     al, bl
        test    al, al
        jz      3f
        call    edi
3:      jmp     esi

/* Numbers into registers; esi: the instruction; edi: the output of its result, eax, ebx, ecx and edx on the stack. */
do_wrmsr:
        pop     ecx
        pop     edx
        pop     eax
        mov     esi, offset wrmsr_there
        mov     edi, offset newline
        jmp     there
do_rdmsr:
        pop     ecx
        mov     esi, offset rdmsr_there
        mov     edi, offset rdmsr_out
        jmp     there
do_cpuid:
        pop     eax
        pop     ecx
        mov     esi, offset cpuid_there
        mov     edi, offset cpuid_out

/* CPL 0 is entered and left by jumps: some KVMs emulate their guest's code at CPL 0, and know neither IRET nor INT. */
there:  cmp     bl, '3'
        je      2f
        test    bh, 0x20
        jz      1f
        jmp     esi
1:      push    CODE32 + 16
        push    esi
        retf
2:      push    DATA3
        push    ebp
        push    2                               # EFLAGS: interrupts off, no I/O
        push    CODE32 + 11
        test    bh, 0x20
        jnz     3f
        add     byte ptr [esp], 16
3:      add     esi, 8                          # to the same instruction for CPL 3
        push    esi
        iretd

/* In the mode that was asked for: these bytes are the same instructions in 32-bit and 64-bit code. For CPL 0, and 8 on for CPL 3. */
        .balign 8
cpuid_there:
        cpuid
        jmp     back
        .balign 8
        cpuid
        int     BACK
        .balign 8
rdmsr_there:
        rdmsr
        jmp     back
        .balign 8
        rdmsr
        int     BACK
        .balign 8
wrmsr_there:
        wrmsr
        jmp     back
        .balign 8
        wrmsr
        int     BACK

/* Handlers, four bytes each, at CPL 0, in 32-bit or 64-bit code likewise: the vector on the stack, then on in 32-bit code. */
exceptions:
        .set    vector, 0
        .rept   32
        .byte   0x6a, vector                    # push
        .byte   0xeb, exceptions_end - exceptions - 4 - 4 * vector # jmp
        .set    vector, vector + 1
        .endr
        .set    back, exceptions_end - 4
exceptions_end:
        .byte   0xff, 0x2c, 0x25                # ljmp through memory, with a SIB byte: absolute in 64-bit code too
        .long   far_landed
landed: mov     ss, cs:[data]                   # IA-32e mode takes CPL 0 from CPL 3 with no stack segment
        cmp     dword ptr [esp], BACK
        jne     fault
        mov     esp, ebp
        push    edx
        push    ecx
        push    ebx
        push    eax
        jmp     edi
fault:  pop     eax
        lea     esi, [names + 2 * eax]
        mov     esp, ebp
        mov     edi, offset put
        mov     al, ' '
        call    edi
        mov     al, '#'
        call    edi
        push    2
        pop     ecx
        jmp     text

rdmsr_out:
        push    eax
        push    edx
        mov     bl, 2
        jmp     numbers_out
cpuid_out:
        mov     bl, 4
numbers_out:                                    # bl numbers from the stack, each a space and eight digits
        mov     edi, offset put
1:      pop     esi
        mov     al, ' '
        call    edi
        push    8
        pop     ecx
2:      rol     esi, 4
        mov     eax, esi
        and     al, 15
        cmp     al, 10
        sbb     al, 0x69
        das                                     # 0-9, A-F
        or      al, 0x20
        call    edi
        loop    2b
        dec     bl
        jnz     1b
        jmp     newline

quit:   call    edi
        mov     al, '\n'
        call    edi
        mov     dx, 0x604                       # QEMU's ACPI PM1a control: soft off
        mov     ax, 0x2000
        out     dx, ax
1:      hlt
        jmp     1b

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

names:  .ascii  "dedb..bpofbrudnmdf..tsnpssgppf..mfacmcxmvecp............hvvcsx"
greeting:
        .ascii  "commonhv probe 2, "
bits:   .ascii  "32-bit"
greeting_end:

        .balign 4
far_landed:
        .long   landed
        .word   CODE32
data:   .word   DATA
far_leave:
        .long   leave64
        .word   CODE32
idtr:   .word   32 * 16 - 1
        .long   IDT, 0                          # LIDT and LGDT take eight bytes of address in 64-bit code
gdtr:   .word   gdt_end - gdt - 1
        .long   gdt, 0
        .balign 4
gdt:    .quad   0
        .quad   0x00cf9a000000ffff              # CODE32: flat, as all of them
        .quad   0x00cffa000000ffff              # of CPL 3
        .quad   0x00af9a000000ffff              # 64-bit
        .quad   0x00affa000000ffff              # 64-bit, of CPL 3
        .quad   0x00cf92000000ffff              # DATA
        .quad   0x00cff2000000ffff              # DATA3
        .quad   0x67, 0                         # TSS, filled in for each processor
gdt_end:
        .org    start + SIZE - 4
tail:   .long   TAIL
