/*
 * What dpdk-sys takes from DPDK's cryptodev: symmetric sessions, and the operations that carry packets through them.
 * The parameters here are flat, as DPDK's own are unions in unions; crypto.c puts them together.
 */
#ifndef ESPALIER_CRYPTO_H
#define ESPALIER_CRYPTO_H

#include <stdint.h>

#include <rte_crypto.h>
#include <rte_cryptodev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

enum espalier_cipher {
	ESPALIER_CIPHER_NONE = 0,
	ESPALIER_CIPHER_AES_CBC,
	ESPALIER_CIPHER_AES_CTR,
	ESPALIER_CIPHER_3DES_CBC,
	ESPALIER_CIPHER_CHACHA20_POLY1305,
};

enum espalier_mac {
	ESPALIER_MAC_NONE = 0,
	ESPALIER_MAC_SHA1,
	ESPALIER_MAC_SHA256,
	ESPALIER_MAC_SHA384,
	ESPALIER_MAC_SHA512,
};

enum espalier_outcome {
	ESPALIER_DONE = 0,
	ESPALIER_FORGED,
	ESPALIER_FAILED,
};

/* What a session does with its packets. An AEAD has its lengths of digest and additional data here, too. */
struct espalier_transform {
	enum espalier_cipher cipher;
	enum espalier_mac mac;
	/* Encrypt, then make the digest; or verify the digest, then decrypt. */
	uint8_t protect;
	uint8_t iv_len;
	uint8_t aad_len;
	uint8_t digest_len;
	uint16_t cipher_key_len;
	uint16_t mac_key_len;
	const uint8_t *cipher_key;
	const uint8_t *mac_key;
};

/* Behind each operation, in one allocation with it. */
struct espalier_operands {
	uint8_t iv[16];
	uint8_t aad[16];
	uint8_t digest[64];
	/* The caller's own. */
	uint64_t tag;
};

/* One packet's part. Offsets and lengths in bytes from the packet's first; an AEAD has no range of a MAC. */
struct espalier_work {
	void *session;
	struct rte_mbuf *packet;
	uint32_t cipher_offset;
	uint32_t cipher_len;
	uint32_t mac_offset;
	uint32_t mac_len;
	uint8_t is_aead;
};

/* Queue pairs 0 to queues - 1, each for so many operations, and starts the device. 0, or a negative errno. */
int espalier_crypto_start(uint8_t device, uint16_t queues, uint32_t operations);

/* What rte_dev_remove() wants. NULL if there is no such device. */
struct rte_device *espalier_crypto_device(uint8_t device);

/* Whether the device can do it: 1, else 0. */
int espalier_crypto_capable(uint8_t device, const struct espalier_transform *transform);

/* Room for `count` sessions of the device. NULL and rte_errno on failure. */
struct rte_mempool *espalier_session_pool(uint8_t device, const char *name, uint32_t count);

/* NULL and rte_errno on failure. The keys are copied. */
void *espalier_session_create(uint8_t device, const struct espalier_transform *transform, struct rte_mempool *pool);

/* Room for `count` operations with their operands. NULL and rte_errno on failure. */
struct rte_mempool *espalier_operation_pool(const char *name, uint32_t count);
/* All of them, or 0. */
uint16_t espalier_operations(struct rte_mempool *pool, struct rte_crypto_op **operations, uint16_t count);
struct espalier_operands *espalier_operands(struct rte_crypto_op *operation);
void espalier_operation_set(struct rte_crypto_op *operation, const struct espalier_work *work);
enum espalier_outcome espalier_operation_outcome(const struct rte_crypto_op *operation);
uint16_t espalier_crypto_enqueue(uint8_t device, uint16_t queue, struct rte_crypto_op **operations, uint16_t count);
uint16_t espalier_crypto_dequeue(uint8_t device, uint16_t queue, struct rte_crypto_op **operations, uint16_t count);

#endif
