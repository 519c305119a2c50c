/* tables.h - the built-in tokenizer tables, used in place (data/NOTICE.md). */
#ifndef WEFT_TEXT_TABLES_H
#define WEFT_TEXT_TABLES_H

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the tables are little-endian and used in place"
#endif

/* Start and end of each table; aligned to 64 bytes. */
extern const unsigned char weft_table_qwen[], weft_table_qwen_end[];
extern const unsigned char weft_table_clip[], weft_table_clip_end[];
extern const unsigned char weft_table_t5[], weft_table_t5_end[];

#endif
