/* Symbols for what DPDK has only as static inline functions and macros. See shim.h. */

/* For the affinity of threads. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "shim.h"

/* The bindings read these fields at the widths below. */
#define FIELD_SIZE(field) sizeof(((struct rte_mbuf *)0)->field)
_Static_assert(FIELD_SIZE(buf_addr) == sizeof(void *), "mbuf.buf_addr");
_Static_assert(FIELD_SIZE(data_off) == 2, "mbuf.data_off");
_Static_assert(FIELD_SIZE(nb_segs) == 2, "mbuf.nb_segs");
_Static_assert(FIELD_SIZE(ol_flags) == 8, "mbuf.ol_flags");
_Static_assert(FIELD_SIZE(pkt_len) == 4, "mbuf.pkt_len");
_Static_assert(FIELD_SIZE(data_len) == 2, "mbuf.data_len");
_Static_assert(FIELD_SIZE(buf_len) == 2, "mbuf.buf_len");
_Static_assert(FIELD_SIZE(next) == sizeof(void *), "mbuf.next");

int espalier_errno(void)
{
	return rte_errno;
}

int espalier_eal_init(int argc, char **argv)
{
	cpu_set_t before;
	int known = pthread_getaffinity_np(pthread_self(), sizeof(before), &before) == 0;
	int result = rte_eal_init(argc, argv);

	if (known)
		pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
	return result;
}

unsigned int espalier_lcore_id(void)
{
	return rte_lcore_id();
}

uint64_t espalier_tsc(void)
{
	return rte_rdtsc();
}

uint16_t espalier_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, packets, count);
}

uint16_t espalier_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, packets, count);
}

struct rte_mbuf *espalier_mbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

void espalier_mbuf_free(struct rte_mbuf *packet)
{
	rte_pktmbuf_free(packet);
}

int espalier_mbuf_linearize(struct rte_mbuf *packet)
{
	return rte_pktmbuf_linearize(packet);
}

unsigned int espalier_ports_of(const char *devargs, uint16_t *ids, unsigned int room)
{
	struct rte_dev_iterator iterator;
	unsigned int count = 0;
	uint16_t id;

	RTE_ETH_FOREACH_MATCHING_DEV(id, devargs, &iterator) {
		if (count < room)
			ids[count] = id;
		count++;
	}
	return count;
}

int espalier_link(uint16_t port, uint32_t *speed)
{
	struct rte_eth_link link = {0};
	int result = rte_eth_link_get_nowait(port, &link);

	if (result < 0)
		return result;
	*speed = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
	return link.link_status == RTE_ETH_LINK_UP;
}

struct rte_fib *espalier_fib4_create(const char *name, int socket, uint64_t default_next_hop, int max_routes,
				     uint32_t tables)
{
	struct rte_fib_conf conf = {
		.type = RTE_FIB_DIR24_8,
		.default_nh = default_next_hop,
		.max_routes = max_routes,
		.dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = tables},
	};

	return rte_fib_create(name, socket, &conf);
}

struct rte_fib6 *espalier_fib6_create(const char *name, int socket, uint64_t default_next_hop, int max_routes,
				      uint32_t tables)
{
	struct rte_fib6_conf conf = {
		.type = RTE_FIB6_TRIE,
		.default_nh = default_next_hop,
		.max_routes = max_routes,
		.trie = {.nh_sz = RTE_FIB6_TRIE_4B, .num_tbl8 = tables},
	};

	return rte_fib6_create(name, socket, &conf);
}

/* An address is an array of bytes up to 24.07 and a structure around one since; `void *` is right for both. */

int espalier_fib6_add(struct rte_fib6 *fib, const uint8_t *address, uint8_t depth, uint64_t next_hop)
{
	return rte_fib6_add(fib, (const void *)address, depth, next_hop);
}

int espalier_fib6_delete(struct rte_fib6 *fib, const uint8_t *address, uint8_t depth)
{
	return rte_fib6_delete(fib, (const void *)address, depth);
}

int espalier_fib6_lookup(struct rte_fib6 *fib, const uint8_t *addresses, uint64_t *next_hops, int count)
{
	return rte_fib6_lookup_bulk(fib, (void *)(uintptr_t)addresses, next_hops, count);
}
