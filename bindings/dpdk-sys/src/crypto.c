/* Symbols for what cryptodev has as static inline functions, and its unions filled from flat parameters. See crypto.h. */

/* Making sessions has been stable since 22.11, where it was still called experimental. */
#define ALLOW_EXPERIMENTAL_API

#include <errno.h>
#include <string.h>

#include "crypto.h"

/* Where the operands are, from the operation on: what drivers call the offset of the IV. */
#define OPERANDS (sizeof(struct rte_crypto_op) + sizeof(struct rte_crypto_sym_op))
#define OPERAND(field) (OPERANDS + offsetof(struct espalier_operands, field))

static enum rte_crypto_cipher_algorithm cipher_of(enum espalier_cipher cipher)
{
	switch (cipher) {
	case ESPALIER_CIPHER_AES_CBC:
		return RTE_CRYPTO_CIPHER_AES_CBC;
	case ESPALIER_CIPHER_AES_CTR:
		return RTE_CRYPTO_CIPHER_AES_CTR;
	case ESPALIER_CIPHER_3DES_CBC:
		return RTE_CRYPTO_CIPHER_3DES_CBC;
	default:
		return RTE_CRYPTO_CIPHER_NULL;
	}
}

static enum rte_crypto_auth_algorithm mac_of(enum espalier_mac mac)
{
	switch (mac) {
	case ESPALIER_MAC_SHA1:
		return RTE_CRYPTO_AUTH_SHA1_HMAC;
	case ESPALIER_MAC_SHA256:
		return RTE_CRYPTO_AUTH_SHA256_HMAC;
	case ESPALIER_MAC_SHA384:
		return RTE_CRYPTO_AUTH_SHA384_HMAC;
	case ESPALIER_MAC_SHA512:
		return RTE_CRYPTO_AUTH_SHA512_HMAC;
	default:
		return RTE_CRYPTO_AUTH_NULL;
	}
}

int espalier_crypto_start(uint8_t device, uint16_t queues, uint32_t operations)
{
	struct rte_cryptodev_config config = {
		.socket_id = rte_cryptodev_socket_id(device),
		.nb_queue_pairs = queues,
		.ff_disable = RTE_CRYPTODEV_FF_ASYMMETRIC_CRYPTO | RTE_CRYPTODEV_FF_SECURITY,
	};
	struct rte_cryptodev_qp_conf pair = {.nb_descriptors = operations};
	int result = rte_cryptodev_configure(device, &config);
	uint16_t queue;

	for (queue = 0; result == 0 && queue < queues; queue++)
		result = rte_cryptodev_queue_pair_setup(device, queue, &pair, config.socket_id);
	return result == 0 ? rte_cryptodev_start(device) : result;
}

struct rte_device *espalier_crypto_device(uint8_t device)
{
	struct rte_cryptodev_info info = {0};

	if (!rte_cryptodev_is_valid_dev(device))
		return NULL;
	rte_cryptodev_info_get(device, &info);
	return info.device;
}

int espalier_crypto_capable(uint8_t device, const struct espalier_transform *t)
{
	struct rte_cryptodev_sym_capability_idx index;
	const struct rte_cryptodev_symmetric_capability *can;

	if (t->cipher == ESPALIER_CIPHER_CHACHA20_POLY1305) {
		index.type = RTE_CRYPTO_SYM_XFORM_AEAD;
		index.algo.aead = RTE_CRYPTO_AEAD_CHACHA20_POLY1305;
		can = rte_cryptodev_sym_capability_get(device, &index);
		return can != NULL && rte_cryptodev_sym_capability_check_aead(can, t->cipher_key_len, t->digest_len,
									      t->aad_len, t->iv_len) == 0;
	}
	if (t->cipher != ESPALIER_CIPHER_NONE) {
		index.type = RTE_CRYPTO_SYM_XFORM_CIPHER;
		index.algo.cipher = cipher_of(t->cipher);
		can = rte_cryptodev_sym_capability_get(device, &index);
		if (can == NULL || rte_cryptodev_sym_capability_check_cipher(can, t->cipher_key_len, t->iv_len) != 0)
			return 0;
	}
	index.type = RTE_CRYPTO_SYM_XFORM_AUTH;
	index.algo.auth = mac_of(t->mac);
	can = rte_cryptodev_sym_capability_get(device, &index);
	return can != NULL && rte_cryptodev_sym_capability_check_auth(can, t->mac_key_len, t->digest_len, 0) == 0;
}

struct rte_mempool *espalier_session_pool(uint8_t device, const char *name, uint32_t count)
{
	/* No cache: sessions come and go on the manager's thread alone, and what is free can be counted. */
	return rte_cryptodev_sym_session_pool_create(name, count, rte_cryptodev_sym_get_private_session_size(device),
						     0, 0, rte_cryptodev_socket_id(device));
}

void *espalier_session_create(uint8_t device, const struct espalier_transform *t, struct rte_mempool *pool)
{
	struct rte_crypto_sym_xform cipher = {0}, mac = {0}, *first;

	if (t->cipher == ESPALIER_CIPHER_CHACHA20_POLY1305) {
		cipher.type = RTE_CRYPTO_SYM_XFORM_AEAD;
		cipher.aead.op = t->protect ? RTE_CRYPTO_AEAD_OP_ENCRYPT : RTE_CRYPTO_AEAD_OP_DECRYPT;
		cipher.aead.algo = RTE_CRYPTO_AEAD_CHACHA20_POLY1305;
		cipher.aead.key.data = t->cipher_key;
		cipher.aead.key.length = t->cipher_key_len;
		cipher.aead.iv.offset = OPERAND(iv);
		cipher.aead.iv.length = t->iv_len;
		cipher.aead.digest_length = t->digest_len;
		cipher.aead.aad_length = t->aad_len;
		return rte_cryptodev_sym_session_create(device, &cipher, pool);
	}
	cipher.type = RTE_CRYPTO_SYM_XFORM_CIPHER;
	cipher.cipher.op = t->protect ? RTE_CRYPTO_CIPHER_OP_ENCRYPT : RTE_CRYPTO_CIPHER_OP_DECRYPT;
	cipher.cipher.algo = cipher_of(t->cipher);
	cipher.cipher.key.data = t->cipher_key;
	cipher.cipher.key.length = t->cipher_key_len;
	cipher.cipher.iv.offset = OPERAND(iv);
	cipher.cipher.iv.length = t->iv_len;
	mac.type = RTE_CRYPTO_SYM_XFORM_AUTH;
	mac.auth.op = t->protect ? RTE_CRYPTO_AUTH_OP_GENERATE : RTE_CRYPTO_AUTH_OP_VERIFY;
	mac.auth.algo = mac_of(t->mac);
	mac.auth.key.data = t->mac_key;
	mac.auth.key.length = t->mac_key_len;
	mac.auth.digest_length = t->digest_len;
	if (t->cipher == ESPALIER_CIPHER_NONE) {
		/* Not every driver has a cipher that does nothing. */
		first = &mac;
	} else if (t->protect) {
		first = &cipher;
		cipher.next = &mac;
	} else {
		first = &mac;
		mac.next = &cipher;
	}
	return rte_cryptodev_sym_session_create(device, first, pool);
}

struct rte_mempool *espalier_operation_pool(const char *name, uint32_t count)
{
	return rte_crypto_op_pool_create(name, RTE_CRYPTO_OP_TYPE_SYMMETRIC, count, 0,
					 sizeof(struct espalier_operands), SOCKET_ID_ANY);
}

uint16_t espalier_operations(struct rte_mempool *pool, struct rte_crypto_op **operations, uint16_t count)
{
	return rte_crypto_op_bulk_alloc(pool, RTE_CRYPTO_OP_TYPE_SYMMETRIC, operations, count);
}

struct espalier_operands *espalier_operands(struct rte_crypto_op *op)
{
	return rte_crypto_op_ctod_offset(op, struct espalier_operands *, OPERANDS);
}

void espalier_operation_set(struct rte_crypto_op *op, const struct espalier_work *work)
{
	struct rte_crypto_sym_op *sym = op->sym;
	uint8_t *digest = rte_crypto_op_ctod_offset(op, uint8_t *, OPERAND(digest));

	op->status = RTE_CRYPTO_OP_STATUS_NOT_PROCESSED;
	op->sess_type = RTE_CRYPTO_OP_WITH_SESSION;
	memset(sym, 0, sizeof(*sym));
	sym->session = work->session;
	sym->m_src = work->packet;
	if (work->is_aead) {
		sym->aead.data.offset = work->cipher_offset;
		sym->aead.data.length = work->cipher_len;
		sym->aead.digest.data = digest;
		sym->aead.digest.phys_addr = rte_crypto_op_ctophys_offset(op, OPERAND(digest));
		sym->aead.aad.data = rte_crypto_op_ctod_offset(op, uint8_t *, OPERAND(aad));
		sym->aead.aad.phys_addr = rte_crypto_op_ctophys_offset(op, OPERAND(aad));
	} else {
		sym->cipher.data.offset = work->cipher_offset;
		sym->cipher.data.length = work->cipher_len;
		sym->auth.data.offset = work->mac_offset;
		sym->auth.data.length = work->mac_len;
		sym->auth.digest.data = digest;
		sym->auth.digest.phys_addr = rte_crypto_op_ctophys_offset(op, OPERAND(digest));
	}
}

enum espalier_outcome espalier_operation_outcome(const struct rte_crypto_op *op)
{
	switch (op->status) {
	case RTE_CRYPTO_OP_STATUS_SUCCESS:
		return ESPALIER_DONE;
	case RTE_CRYPTO_OP_STATUS_AUTH_FAILED:
		return ESPALIER_FORGED;
	default:
		return ESPALIER_FAILED;
	}
}

uint16_t espalier_crypto_enqueue(uint8_t device, uint16_t queue, struct rte_crypto_op **operations, uint16_t count)
{
	return rte_cryptodev_enqueue_burst(device, queue, operations, count);
}

uint16_t espalier_crypto_dequeue(uint8_t device, uint16_t queue, struct rte_crypto_op **operations, uint16_t count)
{
	return rte_cryptodev_dequeue_burst(device, queue, operations, count);
}
