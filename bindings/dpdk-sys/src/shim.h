/*
 * What dpdk-sys takes from DPDK: bindgen reads this header, and shim.c gives the functions declared in it.
 *
 * DPDK's per-packet API is static inline functions and macros, which have no symbol to link with; those that are
 * needed get one here. So do structures whose shape differs between the releases that are supported.
 */
#ifndef ESPALIER_SHIM_H
#define ESPALIER_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

#include "crypto.h"

/* Where the fields of an mbuf are. Releases move them into and out of anonymous unions, so names would not hold. */
enum espalier_mbuf_offset {
	ESPALIER_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	ESPALIER_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	ESPALIER_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	ESPALIER_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	ESPALIER_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	ESPALIER_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	ESPALIER_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	ESPALIER_MBUF_NEXT = offsetof(struct rte_mbuf, next),
};

/* Macros made of casts or other macros, which bindgen passes over. */
static const uint64_t ESPALIER_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t ESPALIER_TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t ESPALIER_RSS_FLOWS = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_ESP;
static const unsigned int ESPALIER_LCORE_ANY = LCORE_ID_ANY;

/* The calling thread's error number. */
int espalier_errno(void);

/* rte_eal_init(), but the calling thread stays on the cores that it was allowed before. */
int espalier_eal_init(int argc, char **argv);

unsigned int espalier_lcore_id(void);
uint64_t espalier_tsc(void);

/* Bursts: one call each, whatever their size. */
uint16_t espalier_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
uint16_t espalier_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);

struct rte_mbuf *espalier_mbuf_alloc(struct rte_mempool *pool);
void espalier_mbuf_free(struct rte_mbuf *packet);
int espalier_mbuf_linearize(struct rte_mbuf *packet);

/* Writes the ids of at most `room` ports of the device that `devargs` names; returns how many there are. */
unsigned int espalier_ports_of(const char *devargs, uint16_t *ids, unsigned int room);

/* The link without waiting for it: 1 up, 0 down, negative errno. `speed` in Mbit/s. */
int espalier_link(uint16_t port, uint32_t *speed);

/* FIBs with 4-byte entries. NULL and rte_errno on failure. */
struct rte_fib *espalier_fib4_create(const char *name, int socket, uint64_t default_next_hop, int max_routes,
				     uint32_t tables);
struct rte_fib6 *espalier_fib6_create(const char *name, int socket, uint64_t default_next_hop, int max_routes,
				      uint32_t tables);
int espalier_fib6_add(struct rte_fib6 *fib, const uint8_t *address, uint8_t depth, uint64_t next_hop);
int espalier_fib6_delete(struct rte_fib6 *fib, const uint8_t *address, uint8_t depth);
int espalier_fib6_lookup(struct rte_fib6 *fib, const uint8_t *addresses, uint64_t *next_hops, int count);

#endif
