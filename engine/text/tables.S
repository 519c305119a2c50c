/* tables.S - the built-in tokenizer tables, used where they lie in read-only memory. */
        .section .rodata

        .macro table name, path
        .balign 64
        .globl \name
        .hidden \name
\name:
        .incbin "\path"
        .globl \name\()_end
        .hidden \name\()_end
\name\()_end:
        .byte 0
        .endm

        table weft_table_qwen, WEFT_TABLE_QWEN
        table weft_table_clip, WEFT_TABLE_CLIP
        table weft_table_t5, WEFT_TABLE_T5

        .section .note.GNU-stack, "", %progbits
