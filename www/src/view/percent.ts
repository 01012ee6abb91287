/** A probability for people: as many digits as tell it from none. */
export function percent(probability: number): string {
  const value = probability * 100;
  return value >= 10 ? `${value.toFixed(0)}%` : value >= 0.1 ? `${value.toFixed(1)}%` : value >= 0.01 ? `${value.toFixed(2)}%` : "<0.01%";
}
