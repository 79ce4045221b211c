/** An amount that requests share: so much together, and so much of it for one tenant. */
export class Shares {
  readonly #max: number;
  readonly #maxOfOne: number;
  readonly #ofTenants = new Map<string, number>();
  #taken = 0;

  /** With API keys there are several tenants: then one of them gets half of it at most. */
  constructor(max: number, hasSeveralTenants: boolean) {
    this.#max = max;
    this.#maxOfOne = hasSeveralTenants ? Math.ceil(max / 2) : max;
  }

  /** How much all tenants have taken together. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether this tenant can have so much more. */
  hasRoom(tenant: string, amount: number): boolean {
    return this.#taken + amount <= this.#max && this.#of(tenant) + amount <= this.#maxOfOne;
  }

  /**
   * Whether this tenant can have so much more beside the `held` that it has for the same thing. What is
   * alone may be larger than a share, or than all there is: it could never be had otherwise.
   */
  admits(tenant: string, amount: number, held: number): boolean {
    return this.#taken === held || this.hasRoom(tenant, amount);
  }

  /** Takes it, whether there is room or not. */
  take(tenant: string, amount: number): void {
    this.#taken += amount;
    this.#ofTenants.set(tenant, this.#of(tenant) + amount);
  }

  giveBack(tenant: string, amount: number): void {
    this.#taken -= amount;
    const left = this.#of(tenant) - amount;
    if (left === 0) this.#ofTenants.delete(tenant);
    else this.#ofTenants.set(tenant, left);
  }

  #of(tenant: string): number {
    return this.#ofTenants.get(tenant) ?? 0;
  }
}
