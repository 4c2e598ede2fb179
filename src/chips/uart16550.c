/* SPDX-License-Identifier: MIT */
/* PC16550D; section numbers are those of its data sheet (National, June 1995). */
#include <string.h>

#include "chips/uart16550.h"

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_RECEIVE  BIT(0)
#define IER_TRANSMIT BIT(1)
#define IER_LINE     BIT(2)
#define IER_MODEM    BIT(3)

/* Interrupt identification, highest priority first (8.5). */
#define IIR_LINE     0x06
#define IIR_RECEIVE  0x04
#define IIR_TIMEOUT  0x0c
#define IIR_TRANSMIT 0x02
#define IIR_MODEM    0x00
#define IIR_NONE     0x01
#define IIR_FIFO     0xc0

#define FCR_ENABLE   BIT(0)
#define FCR_RESET_RX BIT(1)

#define LCR_DLAB BIT(7)

#define MCR_DTR  BIT(0)
#define MCR_RTS  BIT(1)
#define MCR_OUT1 BIT(2)
#define MCR_OUT2 BIT(3)
#define MCR_LOOP BIT(4)

#define LSR_DATA    BIT(0)
#define LSR_OVERRUN BIT(1)
#define LSR_TX_IDLE (BIT(5) | BIT(6))

#define MSR_CTS BIT(4)
#define MSR_DSR BIT(5)
#define MSR_RI  BIT(6)
#define MSR_DCD BIT(7)

/* Nobody who wants to send reads the line status as often without a write: the transmitter is always empty. */
#define POLLS 100

/* The receive FIFO interrupts from this many bytes on; fewer count as timed out (8.4, FCR bits 6 and 7). */
static unsigned trigger_level(const struct uart16550 *u)
{
	static const u8 levels[] = {1, 4, 8, 14};

	return u->fcr & FCR_ENABLE ? levels[u->fcr >> 6] : 1;
}

static u8 interrupt_id(const struct uart16550 *u)
{
	if ((u->ier & IER_LINE) && u->overrun)
		return IIR_LINE;
	if ((u->ier & IER_RECEIVE) && u->rx_count)
		return u->rx_count >= trigger_level(u) ? IIR_RECEIVE : IIR_TIMEOUT;
	if ((u->ier & IER_TRANSMIT) && u->tx_empty_event)
		return IIR_TRANSMIT;
	if ((u->ier & IER_MODEM) && u->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

/* On a PC the pin is gated by OUT2; in loopback the gate is shut (8.6). */
static bool interrupt_gate(const struct uart16550 *u)
{
	return (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
}

static void update_irq(struct uart16550 *u)
{
	const bool level = interrupt_gate(u) && interrupt_id(u) != IIR_NONE;

	if (level == u->irq)
		return;
	u->irq = level;
	u->ops->set_irq(u->opaque, level);
}

/* In loopback the modem outputs are wired to the inputs (8.6). Otherwise a terminal is always there. */
static u8 modem_lines(const struct uart16550 *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

/* The four delta bits tell which line changed; for RI only its fall counts (8.8). */
static void write_mcr(struct uart16550 *u, u8 value)
{
	const u8 before = modem_lines(u);
	u8 changed;

	u->mcr = value & 0x1f;
	changed = before ^ modem_lines(u);
	if (modem_lines(u) & MSR_RI)
		changed &= (u8)~MSR_RI;
	u->msr_delta |= changed >> 4;
}

static void write_fcr(struct uart16550 *u, u8 value)
{
	const bool toggled = (u->fcr ^ value) & FCR_ENABLE;

	if (toggled || (value & FCR_RESET_RX))
		u->rx_count = 0;
	u->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
}

static void transmit(struct uart16550 *u, u8 byte)
{
	if (u->mcr & MCR_LOOP)
		uart16550_receive(u, byte);
	else
		u->ops->transmit(u->opaque, byte);
	u->tx_empty_event = true;
}

/* Enabling the transmitter interrupt while it is empty raises it (8.7). */
static void write_ier(struct uart16550 *u, u8 value)
{
	if (value & ~u->ier & IER_TRANSMIT)
		u->tx_empty_event = true;
	u->ier = value & 0x0f;
}

static u8 read_data(struct uart16550 *u)
{
	u8 byte;

	if (!u->rx_count)
		return 0;
	byte = u->rx[u->rx_first];
	u->rx_first = (u->rx_first + 1) % UART_FIFO_SIZE;
	u->rx_count--;
	return byte;
}

static u8 read_iir(struct uart16550 *u)
{
	const u8 id = interrupt_id(u);

	if (id == IIR_TRANSMIT)
		u->tx_empty_event = false;
	return id | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static u8 read_lsr(struct uart16550 *u)
{
	u8 value = LSR_TX_IDLE;

	if (u->rx_count)
		value |= LSR_DATA;
	if (u->overrun)
		value |= LSR_OVERRUN;
	u->overrun = false;
	return value;
}

static u8 read_msr(struct uart16550 *u)
{
	const u8 value = modem_lines(u) | u->msr_delta;

	u->msr_delta = 0;
	return value;
}

void uart16550_init(struct uart16550 *u, const struct uart16550_ops *ops, void *opaque)
{
	memset(u, 0, sizeof(*u));
	u->ops = ops;
	u->opaque = opaque;
	u->divisor = 12; /* 9600 baud, as firmware leaves it */
	u->mcr = MCR_OUT2;
}

u8 uart16550_read(struct uart16550 *u, unsigned reg)
{
	const bool dlab = u->lcr & LCR_DLAB;
	u8 value = 0;

	u->polls = (reg & 7) == LSR ? MIN(u->polls + 1, POLLS) : 0;
	switch (reg & 7) {
	case RBR_THR: value = dlab ? (u8)u->divisor : read_data(u); break;
	case IER: value = dlab ? (u8)(u->divisor >> 8) : u->ier; break;
	case IIR_FCR: value = read_iir(u); break;
	case LCR: value = u->lcr; break;
	case MCR: value = u->mcr; break;
	case LSR: value = read_lsr(u); break;
	case MSR: value = read_msr(u); break;
	case SCR: value = u->scratch; break;
	}
	update_irq(u);
	return value;
}

void uart16550_write(struct uart16550 *u, unsigned reg, u8 value)
{
	const bool dlab = u->lcr & LCR_DLAB;

	u->polls = 0;
	switch (reg & 7) {
	case RBR_THR:
		if (dlab)
			u->divisor = (u16)((u->divisor & 0xff00) | value);
		else
			transmit(u, value);
		break;
	case IER:
		if (dlab)
			u->divisor = (u16)((u->divisor & 0xff) | value << 8);
		else
			write_ier(u, value);
		break;
	case IIR_FCR: write_fcr(u, value); break;
	case LCR: u->lcr = value; break;
	case MCR: write_mcr(u, value); break;
	case SCR: u->scratch = value; break;
	default: break; /* LSR and MSR: factory test only */
	}
	update_irq(u);
}

/* Without FIFOs the receiver holds one byte. */
unsigned uart16550_room(const struct uart16550 *u)
{
	const unsigned size = u->fcr & FCR_ENABLE ? UART_FIFO_SIZE : 1;

	return u->rx_count < size ? size - u->rx_count : 0;
}

void uart16550_receive(struct uart16550 *u, u8 byte)
{
	if (uart16550_room(u))
		u->rx[(u->rx_first + u->rx_count++) % UART_FIFO_SIZE] = byte;
	else
		u->overrun = true;
	update_irq(u);
}

/* Who asks for modem interrupts without having raised DTR does not mean it: so drivers look for the chip. */
static bool takes_interrupts(const struct uart16550 *u)
{
	const bool probes = (u->ier & IER_MODEM) && !(u->mcr & MCR_DTR);

	return (u->ier & IER_RECEIVE) && interrupt_gate(u) && !probes;
}

bool uart16550_listens(const struct uart16550 *u)
{
	return takes_interrupts(u) || u->polls == POLLS;
}
